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
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"
)

// openCache returns a cache of compiled code in a private directory, or in
// memory where there is none to be had: a policy must be enforced whether or
// not a disk is full.
func openCache(directory string, logger *slog.Logger) wazero.CompilationCache {
	if directory == "" {
		logger.Info("Compiling in memory: no directory for compiled code is configured")
		return wazero.NewCompilationCache()
	}
	cache, err := openCacheDirectory(directory)
	if err != nil {
		logger.Warn("Compiling in memory: the directory for compiled code cannot be used", "directory", directory, "err", err)
		return wazero.NewCompilationCache()
	}
	return cache
}

func openCacheDirectory(directory string) (wazero.CompilationCache, error) {
	if !filepath.IsAbs(directory) {
		return nil, fmt.Errorf("%s is not an absolute path", directory)
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	// What is read from here is mapped as machine code.
	if err := checkPrivate(directory); err != nil {
		return nil, err
	}
	return wazero.NewCompilationCacheWithDir(directory)
}
