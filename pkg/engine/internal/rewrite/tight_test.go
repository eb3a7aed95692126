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

package rewrite_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
	count "github.com/wasm-admission/wasm-admission/test/counting"
)

// TestTightLoops checks that the fuel is back in its global on every way out of a loop, and when a
// loop calls the tick.
func TestTightLoops(t *testing.T) {
	ctx := context.Background()
	module := read(t, "tight")
	result, err := rewrite.Module(module, plainOptions())
	require.NoError(t, err)
	for _, portion := range []int64{1, 50, 1_000_000} {
		r := newRuntime(t)
		m := &meter{portion: portion, limit: 1 << 40}
		metered := instantiate(t, r, result, m)
		counted, err := r.InstantiateWithConfig(ctx, counting(t, module),
			wazero.NewModuleConfig().WithName("counted"))
		require.NoError(t, err)
		plain, err := r.InstantiateWithConfig(ctx, module,
			wazero.NewModuleConfig().WithName("plain"))
		require.NoError(t, err)
		for _, e := range result.Exports {
			t.Run(fmt.Sprintf("%s/%d", e.Name, portion), func(t *testing.T) {
				for _, turns := range []uint64{1, 2, 1000} {
					before, executed := m.consumed(metered),
						counted.ExportedGlobal(count.Export).Get()
					out, err := metered.ExportedFunction(e.Name).Call(ctx, turns)
					_, _ = counted.ExportedFunction(e.Name).Call(ctx, turns)
					consumed := m.consumed(metered) - before
					executed = counted.ExportedGlobal(count.Export).Get() - executed
					if e.Name == "trap" {
						require.ErrorContains(t, err, "integer divide by zero")
						require.Greater(t, consumed+portion, int64(executed),
							"fuel burned since the last tick may be missing")
						continue
					}
					require.NoError(t, err)
					expected, err := plain.ExportedFunction(e.Name).Call(ctx, turns)
					require.NoError(t, err)
					require.Equal(t, expected, out)
					require.GreaterOrEqual(t, consumed, int64(executed))
					require.Less(t, consumed, 4*int64(executed)+100)
				}
			})
		}
	}
}
