/*
Copyright The WasmAdmission Authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// show runs the steps in surroundings, and returns an error if an expectation is not met.
func (w *Wasmctl) show(ctx context.Context, outside *surroundings, directory string) error {
	expand := outside.expand(directory)
	for name, content := range w.Files {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(expand(content)), 0o600); err != nil {
			return err
		}
	}
	for n, step := range w.Steps {
		asked := outside.proxy.requests.Load()
		out, err := step.run(ctx, outside, expand)
		if err != nil {
			return err
		}
		if err := step.compare(out, expand); err != nil {
			return fmt.Errorf("steps[%d]: %w\n%s%s", n, err, out.stdout, out.stderr)
		}
		if proxied := outside.proxy.requests.Load() > asked; step.Proxied != nil &&
			proxied != *step.Proxied {
			return fmt.Errorf("steps[%d]: the proxy was asked: %t", n, proxied)
		}
	}
	return nil
}

// output is the output and the exit code of a command.
type output struct {
	stdout, stderr string
	exitCode       int
}

func (s *Step) run(ctx context.Context, outside *surroundings,
	expand func(string) string) (output, error) {
	var args []string
	for _, arg := range s.Args {
		args = append(args, expand(arg))
	}
	command := exec.CommandContext(ctx, outside.wasmctl, args...)
	command.Dir = filepath.Join(root, "test")
	command.Env = append(os.Environ(), "XDG_CACHE_HOME="+outside.cache, "KUBECONFIG=/dev/null",
		"DOCKER_CONFIG=/none", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=", "http_proxy=",
		"https_proxy=", "no_proxy=")
	for _, variable := range s.Env {
		command.Env = append(command.Env, expand(variable))
	}
	command.Stdin = strings.NewReader(expand(s.Stdin))
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if errors.As(err, new(*exec.ExitError)) && ctx.Err() == nil {
		err = nil
	}
	return output{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}, err
}

// compare returns an error if an expectation is not met.
func (s *Step) compare(out output, expand func(string) string) error {
	if out.exitCode != s.ExitCode {
		return fmt.Errorf("the exit code is %d, not %d", out.exitCode, s.ExitCode)
	}
	all := out.stdout + out.stderr
	for _, text := range s.Output {
		if !strings.Contains(all, expand(text)) {
			return fmt.Errorf("the output lacks %q", expand(text))
		}
	}
	for _, text := range s.Lacks {
		if strings.Contains(all, expand(text)) {
			return fmt.Errorf("the output has %q", expand(text))
		}
	}
	answer := lastAnswer(out.stdout)
	if s.Answer != "" && answer != strings.TrimSpace(expand(s.Answer)) {
		return fmt.Errorf("the answer is %s", answer)
	}
	if err := compareValues(s.Values, answer); err != nil {
		return err
	}
	if s.Patch != "" {
		return comparePatch(s.Patch, answer)
	}
	return nil
}

// lastAnswer returns the last of several JSON values, verbatim.
func lastAnswer(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	var answer json.RawMessage
	for {
		var next json.RawMessage
		if decoder.Decode(&next) != nil {
			return string(answer)
		}
		answer = next
	}
}

// compareValues compares the values at paths in JSON.
func compareValues(values map[string]string, text string) error {
	if len(values) == 0 {
		return nil
	}
	var answer any
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	for path, want := range values {
		parser := jsonpath.New(path).AllowMissingKeys(true)
		if err := parser.Parse(path); err != nil {
			return err
		}
		var got strings.Builder
		if err := parser.Execute(&got, answer); err != nil {
			return err
		}
		if got.String() != want {
			return fmt.Errorf("%s is %q, not %q", path, got.String(), want)
		}
	}
	return nil
}

func comparePatch(want, text string) error {
	var answer struct{ PatchType, Patch string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return fmt.Errorf("the answer is not JSON: %w", err)
	}
	patch, err := base64.StdEncoding.DecodeString(answer.Patch)
	if err != nil {
		return fmt.Errorf("the patch is not in base64: %w", err)
	}
	if answer.PatchType != "JSONPatch" || !equalJSON([]byte(want), patch) {
		return fmt.Errorf("the patch is of type %q: %s", answer.PatchType, patch)
	}
	return nil
}

// equalJSON reports whether two JSON texts have the same value.
func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil &&
		fmt.Sprint(x) == fmt.Sprint(y)
}
