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

// compile turns the rewritten module into machine code, or takes what an earlier
// start made of it. A module that cannot be compiled in a child process is refused, whatever the reason: what
// kills a compiler must not get at this process by way of a disk that is full. Where the compiler runs in
// this process anyway, the disk is no reason not to enforce a policy.
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
		e.logger.Warn("Compiling in memory, as compiling with kept code failed", "digest", m.digest, "err", err)
	}
	if err := m.weigh(); err != nil {
		return err
	}
	return m.compileWith(ctx, wazero.NewCompilationCache(), m.rewritten.Module)
}

// weigh refuses a module that costs too much to compile. Every compilation of a module starts with it. Code that
// was kept is loaded without it, as its module was weighed when it was compiled (see [Module.codeKey]).
func (m *Module) weigh() error {
	if m.rewritten.Weigh == nil {
		return nil // it was weighed, and found light enough
	}
	w, err := m.rewritten.Weigh()
	if err == nil {
		err = w.Check(m.limits.Compilation)
	}
	if err != nil {
		return err
	}
	m.rewritten.Weigh = nil // the module that was taken apart is not needed while it is compiled
	return nil
}

// codeKey names the module's code where it is kept. It has all in it on which the module's weight and what it may
// weigh depend, so that only code is found whose module was weighed against the same bounds, and passed.
func (m *Module) codeKey() codecache.Key {
	weighed := fmt.Sprintf("weight/%d %+v %s", weight.Version, m.limits.Compilation, m.digest)
	return codecache.KeyOf(m.rewritten.Module, Version, runtime.GOOS, runtime.GOARCH, weighed)
}

// runtimeConfig is what code depends on, whichever process compiles it.
func runtimeConfig(interpreter bool) wazero.RuntimeConfig {
	config := wazero.NewRuntimeConfigCompiler()
	if interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	return config.
		WithCoreFeatures(coreFeatures).
		// The rewritten code is not what DWARF sections describe.
		WithDebugInfoEnabled(false).
		WithMemoryLimitPages(wasm.MaxMemoryPages)
}

// compileWith has wazero compile a module, or load what its cache holds under it.
func (m *Module) compileWith(ctx context.Context, cache wazero.CompilationCache, module []byte) (err error) {
	// A runtime keeps a module that it failed to store: each try has its own.
	m.freeCode()
	m.cache = cache
	m.runtime = wazero.NewRuntimeWithConfig(ctx, runtimeConfig(m.engine.interpreter).WithCompilationCache(cache))
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
// is of no use: one sees by the directory that it did. All that it compiles then are functions that
// trap, and no code of the module's.
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
				m.engine.logger.Warn("The directory of a compilation cannot be removed", "directory", temporary.directory, "err", err)
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
		// Most likely it was made for a processor with other features.
		m.engine.logger.Info("Compiling anew, as kept code cannot be used", "digest", m.digest, "err", err)
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
		m.engine.logger.Warn("Compiled code is not kept", "digest", m.digest, "err", err)
	}
	return nil
}

// keeping is the work on an entry of the cache.
type keeping struct {
	module *Module
	entry  *codecache.Entry
	key    codecache.Key
	shell  []byte
}

// errNotFound says that an entry holds no code for this processor.
var errNotFound = errors.New("code of the module was not found where it was stored")

// load loads the code under the shell.
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

// make weighs the module, has it compiled and its code stored under the shell, and loads it from there as
// the next start will.
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

// compileInto compiles a module into a directory, in whichever process, and puts its code where who looks for that of its
// shell finds it.
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

// ServeCompilations is called first thing in the main function of a program, and in TestMain: it is what
// makes the program's binary one that can compile modules in child processes (see [Options.Compilation]).
// In a process that was started as such a child, with the hidden argument wasm-compile, it compiles what
// the parent sends, and does not return. In others it only takes note.
//
// [New] starts no child of a program that has not called it: such a program would start itself over and
// over.
func ServeCompilations() {
	worker.Serve(func(t worker.Task) error { return compileInto(context.Background(), t) })
}

// CompilationError says that a module was not compiled in a child process.
type CompilationError struct{ Err error }

// Error implements the error interface.
func (e *CompilationError) Error() string {
	if errors.As(e.Err, new(*worker.DiedError)) {
		return fmt.Sprintf("compiling in a child process, at last in one that had all of compilation.memory to itself: %v: "+
			"use another build of the module, raise compilation.memory, or, if you trust the module, set compilation.mode to InProcess", e.Err)
	}
	return fmt.Sprintf("compiling in a child process: %v", e.Err)
}

// Unwrap returns the error underneath.
func (e *CompilationError) Unwrap() error { return e.Err }
