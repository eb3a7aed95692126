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
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAModuleThatKillsItsCompiler gives a running server a policy whose module needs more memory to
// compile than allowed. The module is an ordinary Go policy, and the memory limit for child
// processes is the lowest that can be configured.
func TestAModuleThatKillsItsCompiler(t *testing.T) {
	s := newSite(t)
	s.write("policies.d/a.yaml", s.policy("a", "deny", "{}", "one"))
	s.start("}\ncompilation: {memory: 128Mi, timeout: 5m") // comes after reload
	s.becomesDenied("clusterwide-a", "one")
	require.Equal(t, 1, int(s.metric(`compilations_total{result="ok"}`)))
	pid := s.server.PID()

	s.write("policies.d/b.yaml", s.policy("b", "required-labels", "{}", "two"))
	s.becomesBad(
		"compiling in child processes, the last of which had all of compilation.memory to itself: the process that compiled it ended: ")
	_, body := s.readyz("/wasm-admission-policies")
	require.Contains(t, body, "set compilation.mode to InProcess")
	require.Contains(t, s.verdict(), "one")
	require.Equal(t, 1, int(s.metric(`compilations_total{result="killed"}`)))
	require.Equal(t, pid, s.server.PID())
	require.NoError(t, s.server.Stop(), "the server must keep running")

	// With all compiled code stored, a start compiles nothing.
	require.NoError(t, os.Remove(s.path("policies.d/b.yaml")))
	s.start("}\ncompilation: {memory: 128Mi, timeout: 5m")
	s.becomesDenied("clusterwide-a", "one")
	text, err := s.server.Metrics(t.Context())
	require.NoError(t, err)
	require.NotContains(t, text, "apiserver_wasm_admission_compilations_total{")
	require.Zero(t, int(s.metric("compiler_processes")))
}
