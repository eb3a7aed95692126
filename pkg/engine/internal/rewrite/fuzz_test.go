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
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
	count "github.com/wasm-admission/wasm-admission/test/counting"
)

// FuzzRewrite compares modules before and after the rewrite. wazero must accept both or neither.
// Functions that end within a bound of fuel must return the same in both, compiled and interpreted,
// and burn at least one unit for each instruction.
func FuzzRewrite(f *testing.F) {
	files, err := filepath.Glob("testdata/*.wasm")
	require.NoError(f, err)
	for _, file := range files {
		module, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(module, uint64(3))
	}
	f.Fuzz(func(t *testing.T, module []byte, argument uint64) {
		result, err := rewrite.Module(module, fuzzOptions())
		if err != nil {
			return
		}
		replaced := withReplacements(t, module)
		if _, err := rewrite.Module(module, options); err != nil {
			t.Fatalf("refused with all passes only: %v", err)
		}
		plain, rewritten := compiles(t, module), compiles(t, result.Module)
		if rewritten != plain && (customSection(t, module) || compiles(t, reencoded(t, module))) {
			return
		}
		require.Equal(t, plain, rewritten, "accepted before and after")
		if plain && standsAlone(t, module) {
			compare(t, module, replaced, argument)
			requireSameFuel(t, result, replaced, argument)
			if runtime.GOARCH != "arm64" {
				compare(t, module, result, argument)
			}
		}
	})
}

// FuzzGenerated does the same with generated modules, which are always valid. The fuzzer chooses
// what they do.
func FuzzGenerated(f *testing.F) {
	for _, seed := range []string{
		"", "a function of few instructions",
		"\x03\x02\x01\x00\x05\x08\x0c\x0f and more of them, which call one another",
	} {
		f.Add([]byte(seed), uint64(3))
	}
	f.Fuzz(func(t *testing.T, entropy []byte, argument uint64) {
		module := generate(entropy)
		require.True(t, compiles(t, module), "the generator makes only valid modules")
		result, err := rewrite.Module(module, fuzzOptions())
		require.NoError(t, err)
		require.True(t, compiles(t, result.Module), "valid after the rewrite")
		replaced := withReplacements(t, module)
		compare(t, module, replaced, argument)
		requireSameFuel(t, result, replaced, argument)
		if runtime.GOARCH != "arm64" {
			compare(t, module, result, argument)
		}
	})
}

// withReplacements rewrites a module as for arm64.
func withReplacements(t *testing.T, module []byte) *rewrite.Result {
	t.Helper()
	o := fuzzOptions()
	o.ReplaceMiscompiled = true
	result, err := rewrite.Module(module, o)
	require.NoError(t, err)
	return result
}

// requireSameFuel interprets a module as rewritten for two processors. Both must end in the same
// way, with the same fuel and the same stack.
func requireSameFuel(t *testing.T, result, replaced *rewrite.Result, argument uint64) {
	t.Helper()
	require.Equal(t, result.Charges, replaced.Charges)
	ctx := context.Background()
	var consumed [2][]int64
	var ends [2][]string
	for n, r := range []*rewrite.Result{result, replaced} {
		interpreter, m := fuzzRuntime(t, wazero.NewRuntimeConfigInterpreter(), r)
		mod, err := interpreter.InstantiateWithConfig(ctx, r.Module,
			wazero.NewModuleConfig().WithStartFunctions())
		ends[n] = append(ends[n], trap(err))
		if err != nil {
			continue
		}
		for _, e := range r.Exports {
			if e.Kind != wasm.ExternFunction {
				continue
			}
			f, ok := arguments(mod.ExportedFunction(e.Name), argument)
			if !ok {
				continue
			}
			m.limit = m.ticks + 100
			_, err := mod.ExportedFunction(e.Name).Call(ctx, f...)
			if trap(err) == stackOverflow {
				return
			}
			ends[n] = append(ends[n], trap(err))
			consumed[n] = append(consumed[n], m.consumed(mod),
				int64(mod.ExportedGlobal(r.StackExport).Get()))
		}
	}
	require.Equal(t, ends[0], ends[1])
	require.Equal(t, consumed[0], consumed[1])
}

// fuzzOptions bounds what an original module may allocate.
func fuzzOptions() rewrite.Options {
	o := plainOptions()
	o.MemoryMaxPages, o.TableMaxEntries = 64, 1000
	return o
}

// customSection reports whether wazero 1.12 and the rewrite may disagree on a custom section.
// According to the specification, errors in custom sections must be ignored. wazero, however,
// refuses the module for a section without content at the very end, which the rewrite moves, and
// for names that are out of order or duplicate, which the rewrite fixes.
func customSection(t *testing.T, module []byte) bool {
	t.Helper()
	m, err := wasm.Decode(module)
	require.NoError(t, err)
	return slices.ContainsFunc(m.Custom, func(c wasm.CustomSection) bool {
		return len(c.Payload) == 0 || c.Name == wasm.NameSection
	})
}

// reencoded returns the module without an encoding that only the rewrite can read: grouped imports.
func reencoded(t *testing.T, module []byte) []byte {
	t.Helper()
	m, err := wasm.Decode(module)
	require.NoError(t, err)
	return m.Encode()
}

func compiles(t *testing.T, module []byte) bool {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx,
		wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithMemoryLimitPages(64))
	defer func() { require.NoError(t, r.Close(ctx)) }()
	_, err := r.CompileModule(ctx, module)
	return err == nil
}

// standsAlone reports whether a module can run without imports, and does not observe the limits
// that the rewrite sets.
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

// compare calls every exported function of both modules. It calls the rewritten one first, because
// only what ends there is safe to run without metering. It compiles and interprets the rewritten
// one, with the same result and the same fuel. It interprets the others, because that is correct on
// every processor.
func compare(t *testing.T, module []byte, result *rewrite.Result, argument uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, m := fuzzRuntime(t, wazero.NewRuntimeConfigCompiler(), result)
	rewritten, err := r.InstantiateWithConfig(ctx, result.Module,
		wazero.NewModuleConfig().WithName("rewritten").WithStartFunctions())
	interpreter, interpreted := fuzzRuntime(t, wazero.NewRuntimeConfigInterpreter(), result)
	plain, plainErr := interpreter.InstantiateWithConfig(ctx, module,
		wazero.NewModuleConfig().WithName("plain").WithStartFunctions())
	require.Equal(t, plainErr == nil, err == nil, "instantiated before: %v, after: %v", plainErr,
		err)
	slow, slowErr := interpreter.InstantiateWithConfig(ctx, result.Module,
		wazero.NewModuleConfig().WithStartFunctions())
	require.Equal(t, err == nil, slowErr == nil, "instantiated compiled: %v, interpreted: %v", err,
		slowErr)
	if err != nil {
		return
	}
	counted, err := interpreter.InstantiateWithConfig(ctx, counting(t, module),
		wazero.NewModuleConfig().WithName("counted").WithStartFunctions())
	require.NoError(t, err)
	counter := counted.ExportedGlobal(count.Export)
	for _, e := range result.Exports {
		if e.Kind != wasm.ExternFunction {
			continue
		}
		types := plain.ExportedFunction(e.Name).Definition().ResultTypes()
		f, ok := arguments(plain.ExportedFunction(e.Name), argument)
		if !ok {
			continue
		}
		m.limit, interpreted.limit = m.ticks+100, m.ticks+100
		consumed, executed := m.consumed(rewritten), counter.Get()
		for _, mod := range []api.Module{rewritten, slow} { // a trapped call gave no stack back
			mod.ExportedGlobal(result.StackExport).(api.MutableGlobal).Set(rewrite.MaxStackBytes)
		}
		after, err := rewritten.ExportedFunction(e.Name).Call(ctx, f...)
		if trap(err) == stackOverflow {
			return // the stack ends at different points in the two
		}
		slowAfter, slowErr := slow.ExportedFunction(e.Name).Call(ctx, f...)
		if trap(slowErr) == stackOverflow {
			return
		}
		require.Equal(t, trap(err), trap(slowErr), "function %q, compiled and interpreted", e.Name)
		if errors.Is(err, errOutOfFuel) {
			return
		}
		before, plainErr := plain.ExportedFunction(e.Name).Call(ctx, f...)
		require.Equal(t, trap(plainErr), trap(err), "function %q", e.Name)
		_, _ = counted.ExportedFunction(e.Name).Call(ctx, f...)
		require.Equal(t, m.consumed(rewritten), interpreted.consumed(slow),
			"fuel of function %q, compiled and interpreted", e.Name)
		if err == nil {
			require.EqualValues(t, rewrite.MaxStackBytes,
				rewritten.ExportedGlobal(result.StackExport).Get(), "stack after function %q",
				e.Name)
			require.GreaterOrEqual(t, m.consumed(rewritten)-consumed, int64(counter.Get()-executed),
				"fuel of function %q", e.Name)
			equalResults(t, types, before, after)
			equalResults(t, types, after, slowAfter)
		}
	}
}

const stackOverflow = "stack overflow"

// fuzzRuntime returns a runtime with a meter for a rewritten module.
func fuzzRuntime(t *testing.T, config wazero.RuntimeConfig,
	result *rewrite.Result) (wazero.Runtime, *meter) {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(context.Background(),
		config.WithCoreFeatures(features).WithMemoryLimitPages(64))
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	m := &meter{export: result.FuelExport, portion: 10_000, limit: 100}
	hosts(t, r, m)
	return r, m
}

// equalResults compares results. A NaN equals any other NaN of its type, because the specification
// leaves their bits open.
func equalResults(t *testing.T, types []api.ValueType, before, after []uint64) {
	t.Helper()
	require.Len(t, after, len(before))
	if len(types) != len(before) {
		return // with v128, whose lanes may hold NaN
	}
	for i, vt := range types {
		require.True(t, sameValue(vt, before[i], after[i]), "result %d is %x before and %x after",
			i, before[i], after[i])
	}
}

func sameValue(vt api.ValueType, a, b uint64) bool {
	switch {
	case vt == api.ValueTypeF32 && math.IsNaN(float64(api.DecodeF32(a))):
		return math.IsNaN(float64(api.DecodeF32(b)))
	case vt == api.ValueTypeF64 && math.IsNaN(api.DecodeF64(a)):
		return math.IsNaN(api.DecodeF64(b))
	case vt == api.ValueTypeI32 || vt == api.ValueTypeF32:
		return uint32(a) == uint32(b)
	case vt == api.ValueTypeI64 || vt == api.ValueTypeF64:
		return a == b
	}
	return true // a reference
}

// arguments returns parameters for a function, unless the function takes references.
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

// trap returns the kind of an error, without the stack trace.
func trap(err error) string {
	for err != nil && errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}
