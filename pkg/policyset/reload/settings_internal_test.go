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

package reload

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// If one of twenty policies gets new settings, the others are carried over, so that the reload
// takes milliseconds. The log says how many.
func TestNewSettingsLeaveOtherPoliciesAlone(t *testing.T) {
	w := newWorkspace(t, func(c *wasmadmission.WasmAdmissionConfiguration) {
		c.Limits.ModuleSize = 16 << 20
	})
	w.fetched.MaxBytes = 16 << 20
	for name, count := range map[string]int{
		"pod-privileged":     1,
		"allowed-registries": 9,
		"no-latest-tag":      10,
	} {
		wasm, err :=
			os.ReadFile(filepath.Join("..", "..", "..", "test", "policies", name, "policy.wasm"))
		require.NoError(t, err)
		for m := range count {
			policy := name + string(rune('a'+m))
			// Each module has its own custom section, so that all are different.
			require.NoError(t,
				os.WriteFile(w.path(policy+".wasm"), append(wasm, 0, 3, 1, 'n', byte(m)), 0o600))
			w.manifest(policy, policy, settingsOf(name, "first"))
		}
	}
	require.NoError(t, w.manager.Start(t.Context()))
	require.Len(t, w.served.Policies(), 20)
	var took []time.Duration
	for n := range 20 {
		w.manifest("allowed-registriesa", "allowed-registriesa",
			settingsOf("allowed-registries", []string{"second", "third"}[n%2]))
		began, before := time.Now(), w.served
		w.takeOver()
		took = append(took, time.Since(began))
		require.NotSame(t, before, w.served)
		w.requireGood()
		same := 0
		for n, policy := range w.served.Policies() {
			if policy == before.Policies()[n] {
				same++
			}
		}
		require.Equal(t, 19, same)
	}
	slices.Sort(took)
	t.Logf("new settings of one of 20 policies are served after %v, at most %v", took[len(took)/2],
		took[len(took)-1])
}

func settingsOf(policy, registry string) string {
	if policy == "allowed-registries" {
		return `{"registries":["` + registry + `.example.com"]}`
	}
	return `{}`
}
