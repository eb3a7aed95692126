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

// link makes the host modules with the functions that the guest imports, and checks that nothing is
// missing on either side. It takes types from the rewrite, because the runtime would describe every
// function of the module and keep the descriptions.
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

// check returns an error if the module lacks an export that the ABI requires, or imports something
// that the host does not provide.
func (a *ABI) check(r *rewrite.Result, host map[functionName]HostFunction) error {
	for _, name := range a.RequiredExports {
		if _, ok := r.FunctionExports[name]; !ok {
			return fmt.Errorf("module does not export function %q: it is not a %s guest", name,
				a.Name)
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
			return fmt.Errorf(
				"module imports function %s.%s, which the host does not provide to %s guests",
				imported.Module, imported.Name, a.Name)
		}
		if !sameTypes(f.Params, imported.Params) || !sameTypes(f.Results, imported.Results) {
			return wrongType(imported)
		}
	}
	return nil
}

// functionName is the name under which a guest imports a function.
type functionName struct{ module, name string }

// functions returns the functions that guests may import. Ours replace wazero's.
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
	// builders are the host modules by name, and exported lists the functions already in them.
	builders map[string]wazero.HostModuleBuilder
	exported []functionName
}

func (l *linker) builder(module string) wazero.HostModuleBuilder {
	if l.builders[module] == nil {
		l.builders[module] = l.module.runtime.NewHostModuleBuilder(module)
	}
	return l.builders[module]
}

// provide exports the function for an import. check has made sure that it exists.
func (l *linker) provide(imported rewrite.FunctionImport) {
	name := functionName{imported.Module, imported.Name}
	f := l.host[name]
	if slices.Contains(l.exported, name) {
		return // a module may import a function more than once
	}
	l.exported = append(l.exported, name)
	f.Module = imported.Module
	if l.module.rewritten.ParkExport != "" && isParkingRead(imported) {
		exportParkingRead(l.builder(imported.Module))
		return
	}
	l.export(f)
}

// wazeroFunctions are wazero's WASI functions. The engine exports them like all others, with
// [linker.export]. wazero's own exporter would put all of them into the host module, and guests
// would not pay for them.
var wazeroFunctions = sync.OnceValue(func() (functions []HostFunction) {
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer func() { _ = runtime.Close(ctx) }() // nothing runs in it
	builder := runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(builder)
	compiled, err := builder.Compile(ctx)
	if err != nil {
		return nil // modules that import any of them then fail to load
	}
	for name, definition := range compiled.ExportedFunctions() {
		if f, ok := definition.GoFunction().(api.GoModuleFunction); ok {
			functions = append(functions,
				HostFunction{Name: name, Params: definition.ParamTypes(),
					Results: definition.ResultTypes(),
					Call:    func(i *Instance, stack []uint64) { f.Call(i.calls, i.guest, stack) }})
		}
	}
	return functions
})

func sameTypes(host []ValueType, guest []wasm.ValueType) bool {
	return slices.EqualFunc(host, guest, func(a ValueType, b wasm.ValueType) bool {
		return a == b.Code
	})
}

func wrongType(imported rewrite.FunctionImport) error {
	return fmt.Errorf("module imports function %s.%s with the wrong type", imported.Module,
		imported.Name)
}

func (l *linker) export(f HostFunction) {
	l.builder(f.Module).NewFunctionBuilder().
		WithGoModuleFunction(
			api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
				i := instanceFrom(ctx)
				i.external = i.external || f.External
				// Guests pay fuel for the host's work. A guest that calls the host burns few
				// instructions of its own, so the host could do much work between two ticks. This
				// call therefore checks the clock, too. The tick settles the account first and then
				// checks the clock itself.
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
			_, err = l.module.runtime.InstantiateModule(ctx, compiled,
				moduleConfig().WithName(name))
		}
		if err != nil {
			return fmt.Errorf("making host module %q: %w", name, err)
		}
	}
	return nil
}

// moduleConfig returns the configuration that all modules share. The default source of randomness
// takes 5 KiB for each instance; [randomGet] never uses it.
func moduleConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithRandSource(rand.Reader)
}
