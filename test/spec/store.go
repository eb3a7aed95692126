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

package spec

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
)

// portion is the fuel that each tick grants. It is small, so that there are many ticks.
const portion = 1000

var options = enginetest.Options{
	TickModule: "spec-admission", TickName: "tick", ExportPrefix: "spec-admission/",
	MemoryMaxPages: 65536, TableMaxEntries: 10_000_000,
}

// store is a runtime with the modules of one script.
type store struct {
	runtime wazero.Runtime
	// prepare turns a module of the suite into the module that this store runs.
	prepare func(module []byte) ([]byte, error)
	modules map[string]api.Module
	last    api.Module
}

func newStore(ctx context.Context, features api.CoreFeatures, spectest []byte,
	prepare func([]byte) ([]byte, error)) (*store, error) {
	s := &store{
		runtime: wazero.NewRuntimeWithConfig(ctx,
			wazero.NewRuntimeConfig().WithCoreFeatures(features)),
		prepare: prepare,
		modules: make(map[string]api.Module),
	}
	_, err := s.runtime.NewHostModuleBuilder(options.TickModule).NewFunctionBuilder().
		WithFunc(tick).Export(options.TickName).Instantiate(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.runtime.InstantiateWithConfig(ctx, spectest, wazero.NewModuleConfig())
	return s, err
}

// tick always grants more fuel. The scripts terminate on their own.
func tick(_ context.Context, mod api.Module) {
	mod.ExportedGlobal(options.ExportPrefix + "fuel").(api.MutableGlobal).Set(portion)
}

// rewrittenWith rewrites a module. It keeps the memory's maximum, because no allocator of the host
// enforces it here.
func rewrittenWith(module []byte, o enginetest.Options) ([]byte, error) {
	result, err := enginetest.Rewrite(module, o)
	if err != nil {
		return nil, err
	}
	if memory := result.Memory; memory.HasMax && memory.OriginalMax > 0 {
		o.MemoryMaxPages = memory.OriginalMax
		if result, err = enginetest.Rewrite(module, o); err != nil {
			return nil, err
		}
	}
	return result.Module, nil
}

func unchanged(module []byte) ([]byte, error) { return module, nil }

// instantiate instantiates a module. Other modules import it by name, which may be empty.
func (s *store) instantiate(ctx context.Context, module []byte, name string) (api.Module, error) {
	prepared, err := s.prepare(module)
	if err != nil {
		return nil, err
	}
	return s.runtime.InstantiateWithConfig(ctx, prepared,
		wazero.NewModuleConfig().WithName(name).WithStartFunctions())
}

func (s *store) module(name string) (api.Module, error) {
	mod := s.last
	if name != "" {
		mod = s.modules[name]
	}
	if mod == nil {
		return nil, fmt.Errorf("no module %q", name)
	}
	return mod, nil
}

// act performs an action.
func (s *store) act(ctx context.Context, a *action) ([]uint64, error) {
	mod, err := s.module(a.Module)
	if err != nil {
		return nil, err
	}
	if a.Type == "get" {
		global := mod.ExportedGlobal(a.Field)
		if global == nil {
			return nil, fmt.Errorf("no global %q", a.Field)
		}
		return []uint64{global.Get()}, nil
	}
	f := mod.ExportedFunction(a.Field)
	if f == nil {
		return nil, fmt.Errorf("no function %q", a.Field)
	}
	var args []uint64
	for _, arg := range a.Args {
		words, err := arg.encode()
		if err != nil {
			return nil, err
		}
		args = append(args, words...)
	}
	return f.Call(ctx, args...)
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
