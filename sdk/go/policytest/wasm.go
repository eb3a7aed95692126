//go:build !wasip1

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

package policytest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// CheckWasm builds the policy for WebAssembly. With `wasmctl test`, it checks that the policy gives
// the same answers there to everything that it was asked so far, including its host calls. It skips
// the test if there is no wasmctl, neither in the variable WASMCTL nor on the PATH.
func (p *Policy) CheckWasm(t *testing.T) {
	t.Helper()
	wasmctl := os.Getenv("WASMCTL")
	if wasmctl == "" {
		var err error
		if wasmctl, err = exec.LookPath("wasmctl"); err != nil {
			t.Skipf(
				"the policy is not tried in WebAssembly: %v: install wasmctl or name it in the variable WASMCTL",
				err)
		}
	}
	if len(p.cases) == 0 {
		t.Fatal("the policy has not been asked anything that could be tried in WebAssembly")
	}
	metadata := p.Metadata
	if metadata == "" {
		metadata = "metadata.yml"
	}
	directory := t.TempDir()
	module := filepath.Join(directory, "policy.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, ".")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	run(t, build)
	run(t, exec.Command(wasmctl, "annotate", "--metadata-path", metadata, "--output-path", module,
		module))
	if err := p.writeCases(directory); err != nil {
		t.Fatal(err)
	}
	run(t, exec.Command(wasmctl, "test", directory))
}

func run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, output)
	}
	t.Logf("%s\n%s", command, output)
}

// writeCases writes the file that `wasmctl test` reads, and the files that it names.
func (p *Policy) writeCases(directory string) error {
	files := map[string][]byte{}
	var cases []map[string]any
	for n, c := range p.cases {
		name := fmt.Sprintf("%03d", n)
		expect := map[string]any{}
		written := map[string]any{"name": name, "settings": c.settings, "expect": expect}
		if c.request == nil {
			if c.err != nil {
				expect["settingsError"] = c.err.Error()
			}
			cases = append(cases, written)
			continue
		}
		written["request"] = name + ".json"
		files[name+".json"] = c.request
		exchanges, err := session(c.exchanges)
		if err != nil {
			return err
		}
		if string(exchanges) != "[]" {
			written["session"] = name + ".session.yml"
			files[name+".session.yml"] = exchanges
		}
		expect["allowed"] = c.response.Accepted
		switch {
		case c.err != nil:
			expect["messageContains"] = c.err.Error()
		case c.response.MutatedObject != nil:
			expect["mutated"] = name + ".mutated.json"
			files[name+".mutated.json"] = c.response.MutatedObject
			fallthrough
		default:
			expect["message"], expect["code"] = c.response.Message, c.response.Code
			expect["warnings"], expect["auditAnnotations"] = c.response.Warnings,
				c.response.AuditAnnotations
		}
		cases = append(cases, written)
	}
	text, err := json.MarshalIndent(map[string]any{"cases": cases}, "", "  ")
	if err != nil {
		return err
	}
	files["cases.yaml"] = text
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
