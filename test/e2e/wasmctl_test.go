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

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// linted holds a part of the output of wasmctl lint.
type linted struct {
	Problems []string
	Hash     string
	Server   struct {
		Running, Desired, Problem string
		Same                      bool
	}
}

// TestLintAgainst checks that wasmctl and the server agree about the same files: they compute the
// same hash for the same set, and refuse the same files.
func TestLintAgainst(t *testing.T) {
	s := newSite(t)
	s.write("policies.d/a.yaml", s.policy("a", "deny", "{}", "one"))
	s.start("")
	s.write("admission.yaml", s.options("").AdmissionConfig)
	tool := filepath.Join(t.TempDir(), "wasmctl")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "../../cmd/wasmctl").
		CombinedOutput()
	require.NoError(t, err, "%s", output)
	lint := func() (report linted, err error) {
		command := exec.CommandContext(t.Context(), tool, "lint", "-o", "json", "--cache-directory",
			s.path("cache"), "--against", s.server.Kubeconfig(), s.path("admission.yaml"))
		output, err := command.Output()
		require.NoError(t, json.Unmarshal(output, &report), "%s", output)
		return report, err
	}

	report, err := lint()
	require.NoError(t, err)
	require.Equal(t, s.hash("running"), report.Hash)
	require.True(t, report.Server.Same)

	s.write("policies.d/b.yaml", s.policy("b", "none", "{}", "two"))
	s.becomesBad("none.wasm")
	report, err = lint()
	require.Error(t, err)
	require.Len(t, report.Problems, 1)
	require.Contains(t, report.Server.Problem, report.Problems[0], "the server must report the same")
	require.NotEqual(t, report.Server.Running, report.Server.Desired)
	require.False(t, report.Server.Same)
}
