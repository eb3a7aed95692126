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
	"runtime"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/worker"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// compile turns the rewritten module into machine code, or loads the code that an earlier start
// kept. If child processes compile, a module that no child can compile is refused, whatever the
// reason: otherwise a module that kills compilers could reach this process when, for example, the
// disk is full. If this process compiles anyway, disk errors must not prevent it from enforcing a
// policy.
func (m *Module) compile(ctx context.Context) error {
	e := m.engine
	if e.compilers != nil || e.cache != nil && !e.interpreter {
		err := m.compileKept(ctx)
		switch {
		case err == nil:
			return nil
		case errors.As(err, new(*weight.Error)):
			return err
		case e.compilers != nil:
			return &CompilationError{Err: err}
		}
		e.logger.Warn("Compiling in memory: compiling with the code cache failed",
			"digest", m.digest, "err", err)
	}
	if err := m.weigh(); err != nil {
		return err
	}
	return m.compileWith(ctx, wazero.NewCompilationCache(), m.rewritten.Module)
}

// weigh refuses a module that costs too much to compile. Every compilation starts with it. Loading
// kept code skips it, because the module was weighed when that code was compiled (see
// [Module.codeKey]).
func (m *Module) weigh() error {
	if m.rewritten.Weigh == nil {
		return nil // already weighed and within its bounds
	}
	w, err := m.rewritten.Weigh()
	if err == nil {
		err = w.Check(m.limits.Compilation)
	}
	if err != nil {
		return err
	}
	m.rewritten.Weigh = nil // the compilation does not need the parsed module
	return nil
}

// codeKey identifies the module's kept code. It includes everything that determines the module's
// weight and its bounds. The cache therefore returns only code of a module that passed the same
// bounds.
func (m *Module) codeKey() codecache.Key {
	weighed := fmt.Sprintf("weight/%d %+v %s", weight.Version, m.limits.Compilation, m.digest)
	return codecache.KeyOf(m.rewritten.Module, Version, runtime.GOOS, runtime.GOARCH, weighed)
}

// runtimeConfig returns the settings that compiled code depends on, whichever process compiles it.
func runtimeConfig(interpreter bool) wazero.RuntimeConfig {
	config := wazero.NewRuntimeConfigCompiler()
	if interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	return config.
		WithCoreFeatures(coreFeatures).
		// DWARF sections do not describe the rewritten code.
		WithDebugInfoEnabled(false).
		WithMemoryLimitPages(wasm.MaxMemoryPages)
}

// compileWith makes wazero compile a module, or load the code that its cache holds for the module.
func (m *Module) compileWith(ctx context.Context, cache wazero.CompilationCache,
	module []byte) (err error) {
	// A runtime keeps a module that it failed to store, so each attempt gets a new runtime.
	m.freeCode()
	m.cache = cache
	m.runtime = wazero.NewRuntimeWithConfig(ctx,
		runtimeConfig(m.engine.interpreter).WithCompilationCache(cache))
	m.code, err = m.runtime.CompileModule(ctx, module)
	return err
}

// compileKept compiles the module with a cache that holds its code from an earlier start, or that
// keeps the code for the next start.
//
// To load kept code, wazero would decode, validate, hash, and keep the whole module. None of this
// is needed. The entry's key is a SHA-256 digest of the module from which the code was compiled,
// and that module was validated then. The entry's manifest proves that the code is what was stored.
// The module's own code no longer influences what runs. compileKept therefore stores the code under
// a shell of the module (see [wasm.Shell]) and gives wazero the shell, which takes a tenth of the
// time and memory. If wazero finds no code for a shell, it compiles the shell, which is useless. A
// change in the directory reveals that. The functions of a shell only trap and contain no code of
// the module.
func (m *Module) compileKept(ctx context.Context) error {
	key := m.codeKey()
	shell, err := wasm.Shell(m.rewritten.Module, tickModule, key[:])
	if err != nil {
		return err
	}
	cache := m.engine.cache
	if cache == nil {
		temporary, err := newTemporaryCache(m.engine.logger)
		if err != nil {
			return err
		}
		defer func() {
			if err := temporary.remove(); err != nil {
				m.engine.logger.Warn("Cannot remove the temporary directory of a compilation",
					"directory", temporary.directory, "err", err)
			}
		}()
		cache = temporary.Cache
	}
	entry, err := cache.Entry(ctx, key)
	if err != nil {
		return err
	}
	defer entry.Close()
	k := keeping{module: m, entry: entry, key: key, shell: shell}
	if entry.Found() {
		err := k.load(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		// Most likely, the code was compiled for a processor with other features.
		m.engine.logger.Info("Recompiling a module: its cached code cannot be used",
			"digest", m.digest, "err", err)
		if err := entry.Discard(); err != nil {
			return err
		}
	}
	if err := k.make(ctx); err != nil {
		return errors.Join(err, entry.Discard())
	}
	if m.engine.cache == nil {
		return nil // there is no next start
	}
	if err := entry.Commit(); err != nil {
		m.engine.logger.Warn("Cannot cache compiled code", "digest", m.digest, "err", err)
	}
	return nil
}

// keeping is the work on one cache entry.
type keeping struct {
	module *Module
	entry  *codecache.Entry
	key    codecache.Key
	shell  []byte
}

// errNotFound says that an entry holds no code for this processor.
var errNotFound = errors.New("the module's code was not found where it was stored")

// load loads the code that is stored under the shell.
func (k *keeping) load(ctx context.Context) error {
	cache, err := wazero.NewCompilationCacheWithDir(k.entry.Directory())
	if err != nil {
		return err
	}
	if err := k.module.compileWith(ctx, cache, k.shell); err != nil {
		return err
	}
	compiled, err := k.entry.Changed()
	if err == nil && compiled {
		err = errNotFound
	}
	return err
}

// make weighs the module, compiles it, stores its code under the shell, and loads the code from
// there as the next start will.
func (k *keeping) make(ctx context.Context) error {
	if err := k.module.weigh(); err != nil {
		return err
	}
	e, module := k.module.engine, k.module.rewritten.Module
	task := worker.Task{Module: module, Mark: k.key[:], Directory: k.entry.Directory()}
	var err error
	if e.compilers != nil {
		err = e.compilers.Compile(ctx, task, len(module) >= largeModule, k.entry.Discard)
	} else {
		err = compileInto(ctx, task)
	}
	e.recorder.CountCompilation(resultOf(ctx.Err(), err))
	if err != nil {
		return err
	}
	if err := k.entry.Filled(); err != nil {
		return err
	}
	return k.load(ctx)
}

// compileInto compiles a module into a directory, and files its code under the module's shell. It
// runs in a child process or in this one.
func compileInto(ctx context.Context, t worker.Task) error {
	shell, err := wasm.Shell(t.Module, tickModule, t.Mark)
	if err != nil {
		return err
	}
	compile := func(module []byte) func() error {
		return func() (err error) {
			cache, err := wazero.NewCompilationCacheWithDir(t.Directory)
			if err != nil {
				return err
			}
			r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(false).WithCompilationCache(cache))
			defer func() { err = errors.Join(err, r.Close(ctx), cache.Close(ctx)) }()
			_, err = r.CompileModule(ctx, module)
			return err
		}
	}
	return codecache.Fill(t.Directory, compile(t.Module), compile(shell))
}

// ServeCompilations lets the program's binary compile modules in child processes (see
// [Options.Compilation]). Call it first in the program's main function, and in TestMain. In a
// process that was started as such a child, with the hidden argument wasm-compile, it compiles what
// the parent sends, and does not return. In any other process it only records that it was called.
//
// [New] starts no children in a program that has not called it: such a program would start itself
// over and over.
func ServeCompilations() {
	worker.Serve(func(t worker.Task) error { return compileInto(context.Background(), t) })
}

// CompilationError says that compiling a module in a child process failed.
type CompilationError struct{ Err error }

// Error implements the error interface.
func (e *CompilationError) Error() string {
	if errors.As(e.Err, new(*worker.DiedError)) {
		return fmt.Sprintf(
			"compiling in child processes, the last of which had all of compilation.memory to itself: %v: "+
				"use another build of the module, raise compilation.memory, or, if you trust the module, set compilation.mode to InProcess",
			e.Err)
	}
	return fmt.Sprintf("compiling in a child process: %v", e.Err)
}

// Unwrap returns the underlying error.
func (e *CompilationError) Unwrap() error { return e.Err }
