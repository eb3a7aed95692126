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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// BenchmarkInventory shows what it costs that a cluster of a megabyte is parsed for each
// evaluation.
func BenchmarkInventory(b *testing.B) {
	guest := load(b, "unique-ingress-host", abi.ExecutionModeGatekeeper)
	request := read(b, "unique-ingress-host", "testdata", "ingress-create.json")
	for _, size := range []int{0, 1 << 20} {
		var objects []string
		for n := 0; len(objects)*220 < size; n++ {
			objects = append(objects, fmt.Sprintf(`"i%d":{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"i%d","namespace":"shop","labels":{"app":"web","team":"shop"}},"spec":{"rules":[{"host":"h%d.example.com","http":{"paths":[]}}]}}`, n, n, n))
		}
		env := environment()
		env.Inventory = inventory(`{"namespace":{"shop":{"networking.k8s.io/v1":{"Ingress":{` + strings.Join(objects, ",") + `}}}}}`)
		b.Run(fmt.Sprintf("bytes=%d", len(env.Inventory.(inventory))), func(b *testing.B) {
			for b.Loop() {
				_, usage, err := guest.Validate(b.Context(), env, request, []byte(`{}`))
				require.NoError(b, err)
				b.ReportMetric(float64(usage.Fuel), "fuel/op")
				b.ReportMetric(float64(usage.MemoryBytes), "memory-bytes")
			}
		})
	}
}
