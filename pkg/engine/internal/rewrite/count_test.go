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
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
	count "github.com/wasm-admission/wasm-admission/test/counting"
)

// counting makes a module count its instructions.
func counting(t *testing.T, module []byte) []byte {
	t.Helper()
	counted, err := count.Module(module)
	require.NoError(t, err)
	return counted
}

// TestFuelCoversEveryInstruction compares the fuel of a run with the number of executed
// instructions. The fuel must not be less, and only a small multiple where paths differ in length.
func TestFuelCoversEveryInstruction(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name, function string
		module         []byte
		most           float64
	}{
		{"arithmetic", "run", read(t, "arithmetic"), 3.2},
		{"deep_return", "run", read(t, "deep_return"), 1.2},
		// bulk operations pay for more than one instruction
		{"fill_loop", "run", read(t, "fill_loop"), 2e3},
		{"go", "_start", buildGo(t, goProgram), 2.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRuntime(t)
			result, err := rewrite.Module(c.module, plainOptions())
			require.NoError(t, err)
			m := &meter{export: result.FuelExport, portion: portion, limit: 1 << 40}
			hosts(t, r, m)
			config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
			metered, err := r.InstantiateWithConfig(ctx, result.Module, config)
			require.NoError(t, err)
			_, err = metered.ExportedFunction(c.function).Call(ctx)
			require.NoError(t, ignoreExit(err))
			counted, err := r.InstantiateWithConfig(ctx, counting(t, c.module), config)
			require.NoError(t, err)
			_, err = counted.ExportedFunction(c.function).Call(ctx)
			require.NoError(t, ignoreExit(err))

			executed := int64(counted.ExportedGlobal(count.Export).Get())
			consumed := m.consumed(metered)
			t.Logf("%d instructions, %d fuel, ratio %.2f", executed, consumed,
				float64(consumed)/float64(executed))
			require.GreaterOrEqual(t, consumed, executed)
			require.Less(t, float64(consumed), c.most*float64(executed))
		})
	}
}

// ignoreExit turns the error of a successful WASI exit into nil.
func ignoreExit(err error) error {
	if exit, ok := err.(interface{ ExitCode() uint32 }); ok && exit.ExitCode() == 0 {
		return nil
	}
	return err
}
