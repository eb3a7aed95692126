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

package metrics

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
)

func TestFuelIsAddedUpByPolicy(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	recorder := NewPolicies()
	recorder.MustRegister(registry.MustRegister)

	recorder.AddFuel("one", 1000)
	recorder.AddFuel("one", 500)
	recorder.AddFuel("other", -1)

	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP apiserver_wasm_admission_policy_fuel_total [ALPHA] Fuel that a policy burned for requests, by policy, one to two and a half units for each instruction. Unlike time, it is the same on every machine.
# TYPE apiserver_wasm_admission_policy_fuel_total counter
apiserver_wasm_admission_policy_fuel_total{policy="one"} 1500
apiserver_wasm_admission_policy_fuel_total{policy="other"} 0
`), "apiserver_wasm_admission_policy_fuel_total"))
}
