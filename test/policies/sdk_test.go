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

package policies_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFailures checks how a host sees failures of policies with the Go SDK. None is an acceptance.
func TestFailures(t *testing.T) {
	file := filepath.Join(t.TempDir(), "failing.wasm")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared",
		"-o", file, "./internal/failing")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	require.NoError(t, run(build))
	require.NoError(t,
		run(exec.Command(filepath.Join(builtDir, "annotate"), "-metadata",
			"required-labels/metadata.yml", "-in", file, "-out", file)))
	wasm, err := os.ReadFile(file)
	require.NoError(t, err)
	for how, want := range map[string]string{
		"panic":    "guest error: panic: what a mess",
		"error":    "guest error: cannot tell",
		"exit":     "exit_code(0)",
		"deadlock": "unreachable",
		"aside":    "unreachable",
	} {
		t.Run(how, func(t *testing.T) {
			guest, err := startGuest(t.Context(), t, wasm, noHostCalls)
			require.NoError(t, err)
			response, err := guest.call(t.Context(), "validate",
				[]byte(`{"request":{},"settings":{"how":"`+how+`"}}`))
			require.ErrorContains(t, err, want, "%s", response)
		})
	}
}
