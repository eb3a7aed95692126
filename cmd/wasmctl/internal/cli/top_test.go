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
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
)

func TestTopOnce(t *testing.T) {
	got := call(t, "top", "--once", "--sort", "name", "../top/testdata/metrics.txt")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Regexp(t, `^POLICY .*BREAKER\nalways-pull .* closed\n`, got.out)
	require.Empty(t, got.err)
}

func TestTopProblems(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		code      int
		err       string
	}{
		"no order": {[]string{"--sort", "luck"}, cli.ExitUsage,
			`--sort: there is no order "luck": write one of time, fuel, denials, failures, evaluations, name`},
		"no time between": {[]string{"--interval", "1ms"}, cli.ExitUsage,
			"--interval: 1ms is too short: write 100ms or more"},
		"two places": {[]string{"a", "b"}, cli.ExitUsage,
			`only one METRICS is allowed, but there is also "b"`},
		"two sources": {[]string{"a", "--kubeconfig", "b"}, cli.ExitUsage,
			"--kubeconfig: METRICS already names their source: remove one of the two"},
		"no file": {[]string{"--once", "/none"}, cli.ExitProblem,
			"asking /none: open /none: no such file or directory"},
		"no terminal": {[]string{"../top/testdata/metrics.txt"}, cli.ExitProblem,
			"the standard output is not a terminal: add --once for a plain table"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"top"}, test.arguments...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.err, test.err)
			require.Empty(t, got.out)
		})
	}
}
