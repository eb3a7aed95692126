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
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// differential holds two runtimes that run the same modules.
type differential struct {
	options               rewrite.Options
	compiler, interpreter *side

	calls, returned, trapped, spent, overflown int
}

func (d *differential) String() string {
	return fmt.Sprintf("%d calls: %d returned, %d trapped, %d out of fuel, %d left out", d.calls,
		d.returned, d.trapped, d.spent, d.overflown)
}

// side is one of the two runtimes.
type side struct {
	runtime wazero.Runtime
	ticks   int
}

const (
	// The interpreter is slow, so calls have little fuel and little stack. The stack limit is below
	// that of either engine.
	differentialPortion = 1_000
	differentialTicks   = 40
	differentialStack   = 64 << 10
)

func newDifferential(t *testing.T) *differential {
	t.Helper()
	o := fuzzOptions()
	o.ReplaceMiscompiled = runtime.GOARCH == "arm64" && !*differentialRaw
	d := &differential{options: o}
	for _, s := range []struct {
		side   **side
		config wazero.RuntimeConfig
	}{{&d.compiler, wazero.NewRuntimeConfigCompiler()},
		{&d.interpreter, wazero.NewRuntimeConfigInterpreter()}} {
		ctx := context.Background()
		made := &side{
			runtime: wazero.NewRuntimeWithConfig(ctx,
				s.config.WithCoreFeatures(features).WithMemoryLimitPages(64)),
		}
		t.Cleanup(func() { require.NoError(t, made.runtime.Close(ctx)) })
		_, err := made.runtime.NewHostModuleBuilder(options.TickModule).NewFunctionBuilder().
			WithFunc(made.tick).Export(options.TickName).Instantiate(ctx)
		require.NoError(t, err)
		*s.side = made
	}
	return d
}

func (s *side) tick(_ context.Context, mod api.Module) {
	if int64(mod.ExportedGlobal(options.ExportPrefix+"stack").Get()) < 0 {
		panic(errOutOfStack)
	}
	if s.ticks++; s.ticks > differentialTicks {
		panic(errOutOfFuel)
	}
	fuel := mod.ExportedGlobal(options.ExportPrefix + "fuel").(api.MutableGlobal)
	fuel.Set(fuel.Get() + differentialPortion)
}

// run runs a module in both runtimes, and returns how they differ.
func (d *differential) run(module []byte, argument uint64) error {
	result, err := rewrite.Module(module, d.options)
	if err != nil {
		return err
	}
	ctx := context.Background()
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	var mods [2]api.Module
	var failures [2]error
	for i, s := range []*side{d.compiler, d.interpreter} {
		compiled, err := s.runtime.CompileModule(ctx, result.Module)
		if err != nil {
			return err
		}
		defer func() { _ = compiled.Close(ctx) }()
		remove, err := s.provide(ctx, result.FunctionImports)
		if err != nil {
			return err
		}
		defer remove()
		s.ticks = 0
		mods[i], failures[i] = s.runtime.InstantiateModule(ctx, compiled, config)
		if failures[i] == nil {
			defer func() { _ = mods[i].Close(ctx) }()
		}
	}
	if trap(failures[0]) == stackOverflow || trap(failures[1]) == stackOverflow {
		d.overflown++
		return nil
	}
	if trap(failures[0]) != trap(failures[1]) {
		return fmt.Errorf("instantiated compiled: %w, interpreted: %w", failures[0], failures[1])
	}
	if failures[0] != nil {
		return nil
	}
	for _, e := range result.Exports {
		if e.Kind != wasm.ExternFunction {
			continue
		}
		if goesOn, err := d.call(mods, result, e.Name, argument); err != nil || !goesOn {
			return err
		}
	}
	return nil
}

// provide makes the functions that a module imports, which return zeros, until remove is called.
func (s *side) provide(ctx context.Context,
	imports []rewrite.FunctionImport) (remove func(), err error) {
	hosts := map[string]wazero.HostModuleBuilder{}
	for _, f := range imports {
		if hosts[f.Module] == nil {
			hosts[f.Module] = s.runtime.NewHostModuleBuilder(f.Module)
		}
		results := len(f.Results)
		hosts[f.Module].NewFunctionBuilder().
			WithGoModuleFunction(
				api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
					clear(stack[:results])
				}), valueTypes(f.Params), valueTypes(f.Results)).Export(f.Name)
	}
	var made []api.Module
	remove = func() {
		for _, m := range made {
			_ = m.Close(ctx)
		}
	}
	for _, host := range hosts {
		m, err := host.Instantiate(ctx)
		if err != nil {
			remove()
			return nil, err
		}
		made = append(made, m)
	}
	return remove, nil
}

func valueTypes(types []wasm.ValueType) (out []api.ValueType) {
	for _, t := range types {
		out = append(out, t.Code)
	}
	return out
}

// call calls a function in both runtimes, and reports whether their states are still comparable.
func (d *differential) call(mods [2]api.Module, result *rewrite.Result, name string,
	argument uint64) (goesOn bool, err error) {
	d.calls++
	var results [2][]uint64
	var ends [2]string
	for i, s := range []*side{d.compiler, d.interpreter} {
		s.ticks = 0
		mods[i].ExportedGlobal(result.FuelExport).(api.MutableGlobal).Set(differentialPortion)
		mods[i].ExportedGlobal(result.StackExport).(api.MutableGlobal).Set(differentialStack)
		f := mods[i].ExportedFunction(name)
		params, ok := arguments(f, argument)
		if !ok {
			return true, nil
		}
		var err error
		results[i], err = f.Call(context.Background(), params...)
		ends[i] = trap(err)
	}
	if ends[0] == stackOverflow || ends[1] == stackOverflow {
		d.overflown++
		return false, nil // the engines' own stacks end at different points
	}
	if ends[0] != ends[1] {
		return false, fmt.Errorf("function %s: compiled ends with %q, interpreted with %q", name,
			ends[0], ends[1])
	}
	switch ends[0] {
	case "":
		d.returned++
	case errOutOfFuel.Error(), errOutOfStack.Error():
		d.spent++
	default:
		d.trapped++
	}
	types := mods[0].ExportedFunction(name).Definition().ResultTypes()
	for i := range min(len(results[0]), len(types)) {
		if len(results[0]) == len(types) && !sameValue(types[i], results[0][i], results[1][i]) {
			return false, fmt.Errorf("function %s: compiled returns %x, interpreted %x", name,
				results[0][i], results[1][i])
		}
	}
	return true, d.state(mods, result, name)
}

// state compares globals, fuel, and memory.
func (d *differential) state(mods [2]api.Module, result *rewrite.Result, name string) error {
	exports := []string{result.FuelExport, result.StackExport}
	for _, g := range result.Globals {
		exports = append(exports, g.Export)
	}
	for _, export := range exports {
		a, b := mods[0].ExportedGlobal(export), mods[1].ExportedGlobal(export)
		if !sameValue(a.Type(), a.Get(), b.Get()) {
			return fmt.Errorf("function %s: %s is compiled %x, interpreted %x", name, export,
				a.Get(), b.Get())
		}
	}
	if !result.Memory.Present {
		return nil
	}
	a, _ := mods[0].Memory().Read(0, mods[0].Memory().Size())
	b, _ := mods[1].Memory().Read(0, mods[1].Memory().Size())
	if !bytes.Equal(a, b) {
		return fmt.Errorf("function %s: memory differs", name)
	}
	return nil
}
