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

package contextaware

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// at returns the value at a path in JSON.
func at(t *testing.T, document []byte, path ...string) any {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal(document, &value))
	for _, name := range path {
		fields, ok := value.(map[string]any)
		require.True(t, ok, "%s of %v", name, path)
		value = fields[name]
	}
	return value
}

func TestInventoryFollowsTheCluster(t *testing.T) {
	l := newLooker(t, options(), namespaces, configMaps)
	ns := newNamespace(t, nil)
	newConfigMap(t, ns, "c", nil)
	inventory := l.Inventory(&l.caller)
	require.Nil(t, l.Inventory(&newLooker(t, options()).caller), "without kinds there must be no inventory")

	for mode, paths := range map[abi.ExecutionMode][2][]string{
		abi.ExecutionModeOPA: {{"namespaces", ns, "metadata", "name"},
			{"configmaps", ns, "c", "data", "a"}},
		abi.ExecutionModeGatekeeper: {{"cluster", "v1", "Namespace", ns, "metadata", "name"},
			{"namespace", ns, "v1", "ConfigMap", "c", "data", "a"}},
	} {
		document, generation, err := inventory.Inventory(t.Context(), mode)
		require.NoError(t, err)
		require.Equal(t, ns, at(t, document, paths[0]...))
		require.Equal(t, "1", at(t, document, paths[1]...))
		again, same, err := inventory.Inventory(t.Context(), mode)
		require.NoError(t, err)
		if same == generation { // otherwise another object has changed
			require.Equal(t, &document[0], &again[0], "shared")
		}

		created := "new-" + string(mode)
		newConfigMap(t, ns, created, nil)
		eventually(t, func() bool {
			after, later, err := inventory.Inventory(t.Context(), mode)
			require.NoError(t, err)
			if later == generation {
				return false
			}
			require.Greater(t, later, generation)
			objects := paths[1][:len(paths[1])-3]
			_, found := at(t, after, objects...).(map[string]any)[created]
			return found
		}, "it changed")
	}
	_, _, err := inventory.Inventory(t.Context(), abi.ExecutionModeWaPC)
	require.EqualError(t, err, `policies of execution mode "kubewarden-wapc" have no inventory`)

	broken := newLooker(t, options(), namespaces,
		abi.ContextAwareResource{APIVersion: "example.com/v1", Kind: "Gone"})
	_, _, err = broken.Inventory(&broken.caller).Inventory(t.Context(), abi.ExecutionModeOPA)
	require.EqualError(t, err, "Cannot find resource example.com/v1/Gone",
		"one failing kind must fail all")
}
