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

func TestStatusProblems(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		code      int
		err       string
	}{
		"no format":     {[]string{"-o", "xml"}, cli.ExitUsage, `--output: there is no format "xml": write one of table, json, yaml`},
		"no time":       {[]string{"--wait", "-1s"}, cli.ExitUsage, "--wait: -1s is negative: write 0 or more"},
		"no kubeconfig": {[]string{"--kubeconfig", "/none"}, cli.ExitProblem, "reading the kubeconfig (name one with --kubeconfig or in KUBECONFIG): stat /none"},
		"an argument":   {[]string{"a"}, cli.ExitUsage, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"status"}, test.arguments...)...)
			require.Equal(t, test.code, got.code, got.err)
			require.Contains(t, got.err, test.err)
			require.Empty(t, got.out)
		})
	}
}
