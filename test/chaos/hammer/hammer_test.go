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

package hammer_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

func TestDeniedBy(t *testing.T) {
	for _, test := range []struct {
		name, message string
		denied        bool
	}{
		{"the policy",
			`pods "a" is forbidden: WasmAdmission policy "no-privileged-pods" denied the request: no`,
			true},
		{"from a manifest",
			`WasmAdmission policy "clusterwide-no-privileged-pods" denied the request`, true},
		{"another version", `WasmAdmission policy "no-privileged-pods-v2" denied the request`,
			true},
		{"another policy", `WasmAdmission policy "team-label" denied the request`, false},
		{"a failure", `WasmAdmission policy "no-privileged-pods" failed: trap`, false},
		{"another plugin", `policy "no-privileged-pods" denied the request`, false},
		{"text of the user",
			`WasmAdmission policy "x" failed: "no-privileged-pods" denied the request`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.denied,
				hammer.DeniedBy(errors.New(test.message), "no-privileged-pods"))
		})
	}
	require.False(t, hammer.DeniedBy(nil, ""))
}

// There are allowed objects and violations of each kind that the policies match.
func TestKinds(t *testing.T) {
	require.Len(t, hammer.Complying(), 9)
	names := map[string]bool{}
	for _, v := range hammer.Violations {
		names[v.Name] = true
	}
	require.Len(t, names, len(hammer.Violations))
	for _, object := range hammer.Complying()[1:] {
		require.True(t, names["create a privileged "+object.GetKind()], object.GetKind())
	}
}
