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

package topdown_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// BenchmarkInventory measures what a large cluster adds to evaluations, for a policy that reads
// nothing in it and for one that reads all of it.
func BenchmarkInventory(b *testing.B) {
	for _, policy := range []struct {
		name, request, settings string
		mode                    abi.ExecutionMode
	}{
		{"team-label", "pod-create", teams, abi.ExecutionModeOPA},
		{"unique-ingress-host", "ingress-create", `{}`, abi.ExecutionModeGatekeeper},
	} {
		guest := load(b, policy.name, policy.mode)
		request := read(b, policy.name, "testdata", policy.request+".json")
		for _, size := range []int{0, 1 << 20} {
			env := environment()
			env.Inventory = cluster(policy.mode, size)
			b.Run(fmt.Sprintf("policy=%s/bytes=%d", policy.name, len(env.Inventory.(inventory))),
				func(b *testing.B) {
					evaluate := func() abi.Usage {
						_, usage, err := guest.Validate(b.Context(), env, request,
							[]byte(policy.settings))
						require.NoError(b, err)
						return usage
					}
					evaluate() // the guest parses the cluster in the first evaluation
					var usage abi.Usage
					for b.Loop() {
						usage = evaluate()
					}
					b.ReportMetric(float64(usage.Fuel), "fuel/op")
					b.ReportMetric(float64(usage.MemoryBytes), "memory-bytes")
				})
		}
	}
}
