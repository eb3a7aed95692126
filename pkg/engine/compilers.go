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
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/worker"
)

// largeModule is the size in bytes from which a module is loaded and compiled alone.
const largeModule = 8 << 20

// chooseCompilation makes ready what compiles, and where compiled code is kept.
func (e *Engine) chooseCompilation(o Options) (err error) {
	switch compilation := cmp.Or(o.Compilation, ChildProcesses); {
	case compilation != ChildProcesses && compilation != InProcess:
		return fmt.Errorf("there is no way to compile that is called %q: must be %s or %s", o.Compilation, ChildProcesses, InProcess)
	case compilation == InProcess || e.interpreter:
		e.cache = openCache(o.CacheDirectory, e.logger)
		return nil
	case !worker.Declared():
		return errors.New("modules are to be compiled in child processes of this program, which is not made for it: " +
			"call engine.ServeCompilations first thing in its main function (in TestMain if it is a test), or set Options.Compilation to engine.InProcess")
	}
	if o.CacheDirectory == "" {
		removeLeftovers()
		// There is one for each compilation: see here that there can be.
		temporary, err := newTemporaryCache(e.logger)
		if err == nil {
			err = temporary.remove()
		}
		if err != nil {
			return fmt.Errorf("modules are compiled in child processes, which need a directory for compiled code: name one (stateDirectory), "+
				"or compile in the process itself (compilation.mode: InProcess): %w", err)
		}
	} else if e.cache, err = codecache.Open(o.CacheDirectory, codecache.Options{Logger: e.logger}); err != nil {
		return fmt.Errorf("modules are compiled in child processes, which need a directory for compiled code: "+
			"mend it, name another (stateDirectory) or none, or compile in the process itself (compilation.mode: InProcess): %w", err)
	}
	e.compilers = worker.NewPool(worker.Options{
		Workers:     e.limits.Compilers,
		MemoryBytes: e.limits.CompilerBytes,
		Timeout:     e.limits.LoadTimeout,
		Logger:      e.logger,
	})
	return nil
}

// openCache opens the directory for compiled code of an engine that can do without.
func openCache(directory string, logger *slog.Logger) *codecache.Cache {
	if directory == "" {
		return nil
	}
	cache, err := codecache.Open(directory, codecache.Options{Logger: logger})
	if err != nil {
		logger.Warn("Compiling in memory: the directory for compiled code cannot be used", "directory", directory, "err", err)
		return nil
	}
	return cache
}

// closeCompilation ends what chooseCompilation began.
func (e *Engine) closeCompilation() error {
	if e.compilers != nil {
		e.compilers.Close()
	}
	if e.cache == nil {
		return nil
	}
	return e.cache.Close()
}

const (
	temporaryPrefix = "wasm-admission-compiled-"
	// leftoverAge is how old a temporary directory must be to be one that a process left that was killed, in
	// case nobody has locked it: one that another process has just made is not locked either.
	leftoverAge = time.Hour
)

// temporaryCache is a cache of compiled code for one compilation, of which nothing is kept. It is not there for longer:
// an apiserver ends without closing its engine, and who cleans up old temporary files may not take a directory that
// is needed for a change weeks later.
type temporaryCache struct {
	*codecache.Cache
	directory string
}

// newTemporaryCache makes a directory that only this user can use.
func newTemporaryCache(logger *slog.Logger) (*temporaryCache, error) {
	directory, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return nil, err
	}
	cache, err := codecache.Open(directory, codecache.Options{Logger: logger})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	return &temporaryCache{cache, directory}, nil
}

func (t *temporaryCache) remove() error {
	return errors.Join(t.Close(), os.RemoveAll(t.directory))
}

// removeLeftovers removes the temporary directories that were left by processes that were killed.
func removeLeftovers() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*")) // a directory that is a bad pattern keeps them
	for _, directory := range left {
		removeLeftover(directory)
	}
}

// removeLeftover removes a directory that nobody uses. Others may have put anything there.
func removeLeftover(directory string) {
	info, err := os.Lstat(directory)
	if err != nil || !info.IsDir() || safefile.CheckPrivate(directory, info) != nil || time.Since(info.ModTime()) < leftoverAge {
		return
	}
	if cache, err := codecache.Open(directory, codecache.Options{}); err == nil {
		_ = os.RemoveAll(directory) // then it stays
		_ = cache.Close()
	}
}

// resultOf says how a compilation ended, in a word for metrics.
func resultOf(ctxErr, err error) string {
	switch {
	case err == nil:
		return CompilationOK
	case ctxErr != nil, errors.As(err, new(*worker.DiedError)):
		return CompilationKilled
	}
	return CompilationFailed
}
