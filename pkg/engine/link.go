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

package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// link makes the host modules that the guest imports from, with the functions that it
// imports, and checks that nothing is missing on either side. Types are those that the
// rewrite found: the runtime would describe, and keep the description of, every
// function of the module.
func (m *Module) link(ctx context.Context) error {
	host := m.abi.functions()
	if err := m.abi.check(m.rewritten, host); err != nil {
		return err
	}
	l := linker{module: m, host: host, builders: map[string]wazero.HostModuleBuilder{}}
	l.export(HostFunction{Module: tickModule, Name: tickName, Call: tick})
	for _, imported := range m.rewritten.FunctionImports {
		l.provide(imported)
	}
	return l.instantiate(ctx)
}

// check looks for what a module lacks to be a guest of the ABI, and for what it would have of the
// host that there is not.
func (a *ABI) check(r *rewrite.Result, host map[functionName]HostFunction) error {
	for _, name := range a.RequiredExports {
		if _, ok := r.FunctionExports[name]; !ok {
			return fmt.Errorf("module does not export function %q: it is no %s guest", name, a.Name)
		}
	}
	for _, name := range a.StartFunctions {
		if len(r.FunctionExports[name].Params) > 0 {
			return fmt.Errorf("start function %q has parameters", name)
		}
	}
	for _, imported := range r.FunctionImports {
		f, known := host[functionName{imported.Module, imported.Name}]
		if !known {
			return fmt.Errorf("module imports function %s.%s, which the host does not provide to %s guests", imported.Module, imported.Name, a.Name)
		}
		if !sameTypes(f.Params, imported.Params) || !sameTypes(f.Results, imported.Results) {
			return wrongType(imported)
		}
	}
	return nil
}

// functionName is what a function is imported by.
type functionName struct{ module, name string }

// functions returns what guests may import. Ours take the place of wazero's.
func (a *ABI) functions() map[functionName]HostFunction {
	functions := map[functionName]HostFunction{}
	wasi := slices.Concat(wazeroFunctions(), wasiFunctions())
	if a.Command != nil {
		wasi = append(wasi, commandFunctions()...)
	}
	for _, f := range wasi {
		functions[functionName{wasi_snapshot_preview1.ModuleName, f.Name}] = f
	}
	for _, f := range a.HostFunctions {
		functions[functionName{f.Module, f.Name}] = f
	}
	return functions
}

// linker collects the functions of host modules.
type linker struct {
	module *Module
	host   map[functionName]HostFunction
	// builders are the host modules, by name, and exported what is in them.
	builders map[string]wazero.HostModuleBuilder
	exported []functionName
}

func (l *linker) builder(module string) wazero.HostModuleBuilder {
	if l.builders[module] == nil {
		l.builders[module] = l.module.runtime.NewHostModuleBuilder(module)
	}
	return l.builders[module]
}

// provide exports what an import asks for, which there is.
func (l *linker) provide(imported rewrite.FunctionImport) {
	name := functionName{imported.Module, imported.Name}
	f := l.host[name]
	if slices.Contains(l.exported, name) {
		return // a module may import a function twice
	}
	l.exported = append(l.exported, name)
	f.Module = imported.Module
	if l.module.rewritten.ParkExport != "" && isParkingRead(imported) {
		exportParkingRead(l.builder(imported.Module))
		return
	}
	l.export(f)
}

// wazeroFunctions are wazero's functions of WASI. They go the way of all others, by
// [linker.export]: wazero's own exporter would put them all into the host module, where
// guests do not pay for them.
var wazeroFunctions = sync.OnceValue(func() (functions []HostFunction) {
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer func() { _ = runtime.Close(ctx) }() // nothing runs in it
	builder := runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(builder)
	compiled, err := builder.Compile(ctx)
	if err != nil {
		return nil // no module that imports any of them is loaded
	}
	for name, definition := range compiled.ExportedFunctions() {
		if f, ok := definition.GoFunction().(api.GoModuleFunction); ok {
			functions = append(functions, HostFunction{Name: name, Params: definition.ParamTypes(), Results: definition.ResultTypes(),
				Call: func(i *Instance, stack []uint64) { f.Call(i.calls, i.guest, stack) }})
		}
	}
	return functions
})

func sameTypes(host []ValueType, guest []wasm.ValueType) bool {
	return slices.EqualFunc(host, guest, func(a ValueType, b wasm.ValueType) bool { return a == b.Code })
}

func wrongType(imported rewrite.FunctionImport) error {
	return fmt.Errorf("module imports function %s.%s with another type than it has", imported.Module, imported.Name)
}

func (l *linker) export(f HostFunction) {
	l.builder(f.Module).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
			i := instanceFrom(ctx)
			i.external = i.external || f.External
			// A guest that has the host do much for it pays for it. It burns few
			// instructions of its own meanwhile: without this look at the clock much could
			// be done between two ticks. The tick looks itself, once it has settled the
			// account.
			if f.Module != tickModule {
				i.Pay(hostCallFuel)
				i.MustGoOn()
			}
			f.Call(i, stack)
		}), f.Params, f.Results).
		Export(f.Name)
}

func (l *linker) instantiate(ctx context.Context) error {
	for name, builder := range l.builders {
		var compiled wazero.CompiledModule
		listened, err := l.sampled(ctx, name)
		if err == nil {
			compiled, err = builder.Compile(listened)
		}
		if err == nil {
			_, err = l.module.runtime.InstantiateModule(ctx, compiled, moduleConfig().WithName(name))
		}
		if err != nil {
			return fmt.Errorf("making host module %q: %w", name, err)
		}
	}
	return nil
}

// moduleConfig has what the configurations of all modules share. The default source of
// randomness takes 5 KiB for each instance; [randomGet] never asks it.
func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithRandSource(rand.Reader)
}
