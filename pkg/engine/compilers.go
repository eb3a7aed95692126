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

// largeModule is the size in bytes from which the engine loads and compiles a module alone.
const largeModule = 8 << 20

// chooseCompilation prepares the compiler and the directory for compiled code.
func (e *Engine) chooseCompilation(o Options) (err error) {
	switch compilation := cmp.Or(o.Compilation, ChildProcesses); {
	case compilation != ChildProcesses && compilation != InProcess:
		return fmt.Errorf("unknown compilation mode %q: must be %s or %s", o.Compilation,
			ChildProcesses, InProcess)
	case compilation == InProcess || e.interpreter:
		e.cache = openCache(o.CacheDirectory, e.logger)
		return nil
	case !worker.Declared():
		return errors.New("this program cannot compile modules in child processes: " +
			"call engine.ServeCompilations first in its main function (in TestMain if it is a test), or set Options.Compilation to engine.InProcess")
	}
	if o.CacheDirectory == "" {
		removeLeftovers()
		// Each compilation makes a directory. Check here that this works.
		temporary, err := newTemporaryCache(e.logger)
		if err == nil {
			err = temporary.remove()
		}
		if err != nil {
			return fmt.Errorf(
				"compiling in child processes needs a directory for compiled code: name one (stateDirectory), "+
					"or compile in this process (compilation.mode: InProcess): %w", err)
		}
	} else if e.cache, err = codecache.Open(o.CacheDirectory,
		codecache.Options{Logger: e.logger}); err != nil {
		return fmt.Errorf("compiling in child processes needs a directory for compiled code: "+
			"repair it, name another one (stateDirectory) or none, or compile in this process (compilation.mode: InProcess): %w",
			err)
	}
	e.compilers = worker.NewPool(worker.Options{
		Workers:     e.limits.Compilers,
		MemoryBytes: e.limits.CompilerBytes,
		Timeout:     e.limits.LoadTimeout,
		Logger:      e.logger,
	})
	return nil
}

// openCache opens the directory for compiled code. The engine can work without it.
func openCache(directory string, logger *slog.Logger) *codecache.Cache {
	if directory == "" {
		return nil
	}
	cache, err := codecache.Open(directory, codecache.Options{Logger: logger})
	if err != nil {
		logger.Warn("Compiling in memory: the directory for compiled code cannot be used",
			"directory", directory, "err", err)
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
	// leftoverAge is the age from which an unlocked temporary directory counts as left behind by a
	// killed process. A directory that another process just made is not locked yet either.
	leftoverAge = time.Hour
)

// temporaryCache is a cache of compiled code for a single compilation, of which nothing is kept. It
// does not live longer for two reasons: an apiserver ends without closing its engine, and jobs that
// clean up old temporary files could remove a directory that a configuration change needs weeks
// later.
type temporaryCache struct {
	*codecache.Cache
	directory string
}

// newTemporaryCache makes a directory that only this user can access.
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

// removeLeftovers removes the temporary directories that killed processes left behind.
func removeLeftovers() {
	// If the path is an invalid pattern, the directories stay.
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	for _, directory := range left {
		removeLeftover(directory)
	}
}

// removeLeftover removes a directory that nobody uses. Other users may have put anything there.
func removeLeftover(directory string) {
	info, err := os.Lstat(directory)
	if err != nil || !info.IsDir() || safefile.CheckPrivate(directory, info) != nil ||
		time.Since(info.ModTime()) < leftoverAge {
		return
	}
	if cache, err := codecache.Open(directory, codecache.Options{}); err == nil {
		_ = os.RemoveAll(directory) // if this fails, the directory stays
		_ = cache.Close()
	}
}

// resultOf returns the result of a compilation as a label for metrics.
func resultOf(ctxErr, err error) string {
	switch {
	case err == nil:
		return CompilationOK
	case ctxErr != nil, errors.As(err, new(*worker.DiedError)):
		return CompilationKilled
	}
	return CompilationFailed
}
