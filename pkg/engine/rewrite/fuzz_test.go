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
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/pkg/engine/rewrite"
	"github.com/wasm-admission/wasm-admission/pkg/engine/wasm"
)

// FuzzRewrite rewrites modules and compares them with what they were: wazero accepts both or neither, and functions
// that end within a bound of fuel yield the same in both.
func FuzzRewrite(f *testing.F) {
	files, err := filepath.Glob("testdata/*.wasm")
	require.NoError(f, err)
	for _, file := range files {
		module, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(module, uint64(3))
	}
	f.Fuzz(func(t *testing.T, module []byte, argument uint64) {
		o := plainOptions()
		// Above this the plain module may allocate more than the fuzzer has.
		o.MemoryMaxPages, o.TableMaxEntries = 64, 1000
		result, err := rewrite.Module(module, o)
		if err != nil {
			return
		}
		if _, err := rewrite.Module(module, options); err != nil {
			t.Fatalf("refused with all passes only: %v", err)
		}
		if emptyCustomSection(t, module) {
			return
		}
		plain := compiles(t, module)
		require.Equal(t, plain, compiles(t, result.Module), "accepted before and after")
		if plain && standsAlone(t, module) {
			compare(t, module, result, argument)
		}
	})
}

// emptyCustomSection says whether there is a custom section without content. wazero 1.12 refuses it at the very end of a
// module, where the rewrite does not leave it.
func emptyCustomSection(t *testing.T, module []byte) bool {
	t.Helper()
	m, err := wasm.Decode(module)
	require.NoError(t, err)
	return slices.ContainsFunc(m.Custom, func(c wasm.CustomSection) bool { return len(c.Payload) == 0 })
}

func compiles(t *testing.T, module []byte) bool {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithMemoryLimitPages(64))
	defer func() { require.NoError(t, r.Close(ctx)) }()
	_, err := r.CompileModule(ctx, module)
	return err == nil
}

// standsAlone says whether a module can be run without anything around it, and does not observe the limits that the
// rewrite sets.
func standsAlone(t *testing.T, module []byte) bool {
	t.Helper()
	m, err := wasm.Decode(module)
	require.NoError(t, err)
	if len(m.Imports) > 0 || len(m.Tables) > 0 || m.Start != nil {
		return false
	}
	for _, l := range m.Memories {
		if l.HasMax {
			return false
		}
	}
	return true
}

// compare calls every exported function of both modules, in the rewritten one first: only what ends there is safe to
// run without metering.
func compare(t *testing.T, module []byte, result *rewrite.Result, argument uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithMemoryLimitPages(64)
	r := wazero.NewRuntimeWithConfig(ctx, config)
	defer func() { require.NoError(t, r.Close(context.Background())) }()
	m := &meter{export: result.FuelExport, portion: 10_000, limit: 100}
	hosts(t, r, m)
	rewritten, err := r.InstantiateWithConfig(ctx, result.Module, wazero.NewModuleConfig().WithName("rewritten").WithStartFunctions())
	plain, plainErr := r.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithName("plain").WithStartFunctions())
	require.Equal(t, plainErr == nil, err == nil, "instantiated before: %v, after: %v", plainErr, err)
	if err != nil {
		return
	}
	for _, e := range result.Exports {
		if e.Kind != wasm.ExternFunction {
			continue
		}
		f, ok := arguments(plain.ExportedFunction(e.Name), argument)
		if !ok {
			continue
		}
		m.ticks = 0
		after, err := rewritten.ExportedFunction(e.Name).Call(ctx, f...)
		if errors.Is(err, errOutOfFuel) {
			return
		}
		before, plainErr := plain.ExportedFunction(e.Name).Call(ctx, f...)
		require.Equal(t, trap(plainErr), trap(err), "function %q", e.Name)
		if err == nil {
			equalResults(t, plain.ExportedFunction(e.Name).Definition().ResultTypes(), before, after)
		}
	}
}

// equalResults compares results; a NaN equals any other NaN of its type, as the specification leaves their bits open.
func equalResults(t *testing.T, types []api.ValueType, before, after []uint64) {
	t.Helper()
	require.Len(t, after, len(before))
	if len(types) != len(before) {
		return // with v128, whose lanes may hold NaN
	}
	for i, vt := range types {
		switch {
		case vt == api.ValueTypeF32 && math.IsNaN(float64(api.DecodeF32(before[i]))):
			require.True(t, math.IsNaN(float64(api.DecodeF32(after[i]))))
		case vt == api.ValueTypeF64 && math.IsNaN(api.DecodeF64(before[i])):
			require.True(t, math.IsNaN(api.DecodeF64(after[i])))
		case vt == api.ValueTypeI32 || vt == api.ValueTypeF32:
			require.Equal(t, uint32(before[i]), uint32(after[i]))
		case vt == api.ValueTypeI64 || vt == api.ValueTypeF64:
			require.Equal(t, before[i], after[i])
		}
	}
}

// arguments fills the parameters of a function, unless it takes references.
func arguments(f api.Function, argument uint64) ([]uint64, bool) {
	var out []uint64
	for _, vt := range f.Definition().ParamTypes() {
		switch vt {
		case api.ValueTypeI32, api.ValueTypeF32:
			out = append(out, argument&math.MaxUint32)
		case api.ValueTypeI64, api.ValueTypeF64:
			out = append(out, argument)
		default:
			return nil, false
		}
		argument = argument*31 + 7
	}
	return out, true
}

// trap is the kind of an error, without the stack trace.
func trap(err error) string {
	for err != nil && errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}
