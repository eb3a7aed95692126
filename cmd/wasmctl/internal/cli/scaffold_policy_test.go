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

package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
)

// TestScaffoldPolicy shows that a new policy builds and passes its own tests, in every language
// whose tools are installed.
func TestScaffoldPolicy(t *testing.T) {
	for language, build := range map[string]func(t *testing.T, directory string) (module string){
		"go": buildGoPolicy, "rust": buildRustPolicy, "rego": buildRegoPolicy,
	} {
		t.Run(language, func(t *testing.T) {
			directory := filepath.Join(t.TempDir(), "my-policy")
			r := call(t, "scaffold", "policy", "--language", language, directory)
			require.Equal(t, cli.ExitOK, r.code, r.err)
			require.Contains(t, r.out, filepath.Join(directory, "metadata.yml")+"\n")
			module := build(t, directory)
			r = call(t, "annotate", "--metadata-path", filepath.Join(directory, "metadata.yml"),
				"--output-path", filepath.Join(directory, "policy.wasm"), module)
			require.Equal(t, cli.ExitOK, r.code, r.err)
			r = call(t, "test", directory)
			require.Equal(t, cli.ExitOK, r.code, "%s%s", r.out, r.err)
			require.Contains(t, r.out, " 0 failed")
		})
	}
}

// buildGoPolicy builds without a network, and runs the tests in Go. The test cases cover
// WebAssembly.
func buildGoPolicy(t *testing.T, directory string) string {
	t.Helper()
	offline := []string{
		"GOPROXY=off", "GOFLAGS=", "GOWORK=off", "PATH=" + os.Getenv("PATH"), "WASMCTL=",
	}
	runIn(t, directory, offline, "go", "test", "./...")
	module := filepath.Join(t.TempDir(), "policy.wasm")
	runIn(t, directory, append(offline, "GOOS=wasip1", "GOARCH=wasm"), "go", "build", "-trimpath",
		"-buildmode=c-shared", "-ldflags=-s -w", "-o", module, ".")
	return module
}

func buildRustPolicy(t *testing.T, directory string) string {
	t.Helper()
	const target = "wasm32-wasip1"
	libraries, err := exec.Command("rustc", "--print", "target-libdir", "--target", target).Output()
	if err != nil {
		t.Skipf("Rust is missing: %v", err)
	}
	if _, err := os.Stat(string(libraries[:max(len(libraries)-1, 0)])); err != nil {
		t.Skipf("Rust's target is missing: rustup target add %s: %v", target, err)
	}
	runIn(t, directory, nil, "cargo", "build", "--release", "--target", target)
	return filepath.Join(directory, "target", target, "release", "policy.wasm")
}

func buildRegoPolicy(t *testing.T, directory string) string {
	t.Helper()
	opa, err := exec.LookPath("opa")
	if err != nil {
		// make checklist-guests installs it here.
		found, _ := filepath.Glob("../../../../.cache/guests/opa-*/opa")
		if len(found) == 0 {
			t.Skipf("opa is missing: %v: run make checklist-guests", err)
		}
		opa, err = filepath.Abs(found[0])
		require.NoError(t, err)
	}
	runIn(t, directory, nil, opa, "build", "--target", "wasm", "--entrypoint", "policy/main",
		"--output", "bundle.tar.gz", "policy.rego")
	runIn(t, directory, nil, "tar", "-xzf", "bundle.tar.gz", "/policy.wasm")
	return filepath.Join(directory, "policy.wasm")
}

func runIn(t *testing.T, directory string, environment []string, name string, arguments ...string) {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.Dir, command.Env = directory, append(os.Environ(), environment...)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, output)
}

func TestScaffoldPolicyRefuses(t *testing.T) {
	full := filepath.Dir(file(t, "something", ""))
	empty := t.TempDir()
	for want, test := range map[string]struct {
		code      int
		arguments []string
	}{
		"DIRECTORY":                  {cli.ExitUsage, []string{"--language", "go"}},
		`--language: there is no ""`: {cli.ExitUsage, []string{empty}},
		`--language: there is no "cobol"`: {cli.ExitUsage,
			[]string{"--language", "cobol", empty}},
		full +
			" is not empty": {cli.ExitProblem, []string{"--language", "go", "--name", "a", full}},
		`the name "A_b": a lowercase RFC 1123`: {cli.ExitProblem,
			[]string{"--language", "go", "--name", "A_b", empty}},
	} {
		r := call(t, append([]string{"scaffold", "policy"}, test.arguments...)...)
		require.Equal(t, test.code, r.code, "%s", r.err)
		require.Contains(t, r.err, want)
	}
	entries, err := os.ReadDir(empty)
	require.NoError(t, err)
	require.Empty(t, entries)
}
