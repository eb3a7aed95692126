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
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Module is compiled code that instances are made of. It is safe for concurrent
// use.
type Module struct {
	engine *Engine
	key    moduleKey
	digest string
	abi    *ABI
	limits Limits

	// references is guarded by the engine's mutex.
	references int

	// compiled is closed once the fields below are set.
	compiled chan struct{}
	err      error
	runtime  wazero.Runtime
	code     wazero.CompiledModule
}

// Digest returns the SHA-256 of the module's binary as [Digest] does.
func (m *Module) Digest() string { return m.digest }

// Close gives the module back. The caller must have released all instances that
// it acquired through this reference.
func (m *Module) Close() { m.engine.release(m) }

// compile fills in the module. Every module has a runtime of its own, so that
// no guest shares anything with another but the host functions' code.
func (m *Module) compile(ctx context.Context, wasm []byte) (err error) {
	start := time.Now()
	defer func() {
		// The compiler digests bytes that nobody vouches for.
		if r := recover(); r != nil {
			err = m.fail(PhaseLoad, CauseInvalid, fmt.Errorf("compiler panicked: %v", r))
		}
	}()

	config := wazero.NewRuntimeConfig().
		WithCoreFeatures(coreFeatures).
		WithMemoryLimitPages(m.limits.memoryPages()).
		WithCompilationCache(m.engine.cache).
		WithCloseOnContextDone(true)
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	m.code, err = m.runtime.CompileModule(ctx, wasm)
	if err != nil {
		cause := CauseInvalid
		if strings.Contains(err.Error(), "over limit of") {
			cause = CauseLimit
			err = fmt.Errorf("linear memory: %w (the limit on memory is %d bytes)", err, m.limits.MemoryBytes)
		}
		return m.fail(PhaseLoad, cause, err)
	}
	if err := m.link(ctx); err != nil {
		return m.fail(PhaseLoad, CauseInvalid, err)
	}
	m.engine.logger.Info("Compiled module", "digest", m.digest, "bytes", len(wasm), "duration", time.Since(start))
	return nil
}

// link makes the host modules that the guest imports from, and checks that
// nothing is missing on either side.
func (m *Module) link(ctx context.Context) error {
	exports := m.code.ExportedFunctions()
	for _, name := range m.abi.RequiredExports {
		if _, ok := exports[name]; !ok {
			return fmt.Errorf("module does not export function %q: it is no %s guest", name, m.abi.Name)
		}
	}
	for _, name := range m.abi.StartFunctions {
		if f, ok := exports[name]; ok && len(f.ParamTypes()) > 0 {
			return fmt.Errorf("start function %q has parameters", name)
		}
	}
	if err := m.instantiateHostModules(ctx); err != nil {
		return err
	}
	if memories := m.code.ImportedMemories(); len(memories) > 0 {
		module, name, _ := memories[0].Import()
		return fmt.Errorf("module imports memory %s.%s, which the host does not provide to %s guests", module, name, m.abi.Name)
	}
	for _, imported := range m.code.ImportedFunctions() {
		if err := m.checkImport(imported); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) instantiateHostModules(ctx context.Context) error {
	wasi := m.runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(wasi)
	// The library's proc_exit closes the module; a start function that exits
	// with status zero must leave it usable.
	export(wasi, HostFunction{Name: "proc_exit", Params: []ValueType{I32}, Call: procExit})
	builders := map[string]wazero.HostModuleBuilder{wasi_snapshot_preview1.ModuleName: wasi}
	for _, f := range m.abi.HostFunctions {
		if builders[f.Module] == nil {
			builders[f.Module] = m.runtime.NewHostModuleBuilder(f.Module)
		}
		export(builders[f.Module], f)
	}
	for name, builder := range builders {
		if _, err := builder.Instantiate(ctx); err != nil {
			return fmt.Errorf("making host module %q: %w", name, err)
		}
	}
	return nil
}

func export(builder wazero.HostModuleBuilder, f HostFunction) {
	builder.NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, guest api.Module, stack []uint64) {
			i := instanceFrom(ctx)
			i.guest = guest // a start section runs before anybody else knows it
			f.Call(i, stack)
		}), f.Params, f.Results).
		Export(f.Name)
}

func (m *Module) checkImport(imported api.FunctionDefinition) error {
	module, name, _ := imported.Import()
	host := m.runtime.Module(module)
	if host == nil {
		return fmt.Errorf("module imports function %s.%s, which the host does not provide to %s guests", module, name, m.abi.Name)
	}
	provided, ok := host.ExportedFunctionDefinitions()[name]
	if !ok {
		return fmt.Errorf("module imports function %s.%s, which the host does not provide to %s guests", module, name, m.abi.Name)
	}
	if !slices.Equal(provided.ParamTypes(), imported.ParamTypes()) || !slices.Equal(provided.ResultTypes(), imported.ResultTypes()) {
		return fmt.Errorf("module imports function %s.%s with another type than it has", module, name)
	}
	return nil
}

// free gives back what compile made. It runs once, after the last use.
func (m *Module) free() {
	if m.runtime == nil {
		return
	}
	if err := m.runtime.Close(context.Background()); err != nil {
		m.engine.logger.Warn("Freeing a module failed", "digest", m.digest, "err", err)
	}
}

func (m *Module) fail(phase Phase, cause Cause, err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return &Error{Digest: m.digest, Phase: phase, Cause: cause, Err: err}
}
