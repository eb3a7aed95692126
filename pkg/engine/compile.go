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
	"runtime"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/pkg/engine/codecache"
	"github.com/wasm-admission/wasm-admission/pkg/engine/wasm"
)

// compile turns the rewritten module into machine code, or takes what an earlier
// start made of it. Whatever goes wrong with the disk, the module is compiled in
// memory instead: a policy must be enforced.
func (m *Module) compile(ctx context.Context) error {
	if m.engine.cache != nil && !m.engine.interpreter {
		err := m.compileKept(ctx)
		if err == nil {
			return nil
		}
		m.engine.logger.Warn("Compiling in memory, as compiling with kept code failed", "digest", m.digest, "err", err)
	}
	return m.compileWith(ctx, wazero.NewCompilationCache(), m.rewritten.Module)
}

// compileWith has wazero compile a module, or load what its cache holds under it.
func (m *Module) compileWith(ctx context.Context, cache wazero.CompilationCache, module []byte) (err error) {
	config := m.engine.runtimeConfig().
		WithCoreFeatures(coreFeatures).
		// The rewritten code is not what DWARF sections describe.
		WithDebugInfoEnabled(false).
		WithMemoryLimitPages(wasm.MaxMemoryPages)
	// A runtime keeps a module that it failed to store: each try has its own.
	m.freeCode()
	m.cache = cache
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config.WithCompilationCache(cache))
	m.code, err = m.runtime.CompileModule(ctx, module)
	return err
}

// compileKept compiles the module with a cache that holds its code from an earlier
// start, or that keeps it for the next.
//
// wazero decodes, validates, hashes and keeps all of a module whose code it then loads.
// But the entry's key says by a SHA-256 that the code was compiled from this module, which was
// validated then, and its manifest that it is what was stored: the module's own
// code has no say in what runs. So the entry's code stands under a shell of the module
// (see [wasm.Shell]), which is what wazero is given, and which takes a tenth of the
// time and memory. A shell that wazero compiles instead of finding code for it
// is of no use: one sees by the directory that it did.
func (m *Module) compileKept(ctx context.Context) error {
	key := codecache.KeyOf(m.rewritten.Module, Version, runtime.GOOS, runtime.GOARCH)
	shell, err := wasm.Shell(m.rewritten.Module, tickModule, key[:])
	if err != nil {
		return err
	}
	entry, err := m.engine.cache.Entry(ctx, key)
	if err != nil {
		return err
	}
	defer entry.Close()
	k := keeping{module: m, entry: entry, shell: shell}
	if entry.Found() {
		if err := k.load(ctx); err == nil {
			return nil
		} else if !errors.Is(err, errNotFound) {
			return errors.Join(err, entry.Discard())
		}
		// It was made for a processor with other features.
		if err := entry.Discard(); err != nil {
			return err
		}
	}
	if err := k.make(ctx); err != nil {
		return errors.Join(err, entry.Discard())
	}
	if err := entry.Commit(); err != nil {
		m.engine.logger.Warn("Compiled code is not kept", "digest", m.digest, "err", err)
	}
	return nil
}

// keeping is the work on an entry of the cache.
type keeping struct {
	module *Module
	entry  *codecache.Entry
	shell  []byte
}

// errNotFound says that an entry holds no code for this processor.
var errNotFound = errors.New("code of the module was not found where it was stored")

func (k *keeping) compile(ctx context.Context, module []byte) error {
	cache, err := wazero.NewCompilationCacheWithDir(k.entry.Directory())
	if err != nil {
		return err
	}
	return k.module.compileWith(ctx, cache, module)
}

// load loads the code under the shell.
func (k *keeping) load(ctx context.Context) error {
	if err := k.compile(ctx, k.shell); err != nil {
		return err
	}
	compiled, err := k.entry.Changed()
	if err == nil && compiled {
		err = errNotFound
	}
	return err
}

// make compiles the module, stores its code under the shell, and loads it from there as
// the next start will.
func (k *keeping) make(ctx context.Context) error {
	err := k.entry.Fill(
		func() error { return k.compile(ctx, k.module.rewritten.Module) },
		func() error { return k.compile(ctx, k.shell) })
	if err != nil {
		return err
	}
	return k.load(ctx)
}
