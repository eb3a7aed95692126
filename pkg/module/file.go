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

package module

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// readFile reads a file that nobody but root and this process' own user can
// have written or put there: a policy is code that runs inside the apiserver.
func readFile(path string, maxBytes int64) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%q is not an absolute path", path)
	}
	// Symbolic links are how ConfigMaps and package managers switch versions:
	// both the way to the link and the way to its target must be safe.
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	for _, p := range []string{filepath.Clean(path), target} {
		if err := checkDirectories(p); err != nil {
			return nil, err
		}
	}
	// Nobody else can put another file in its place from here on. Opening comes
	// last: a FIFO would keep it waiting.
	info, err := os.Lstat(target)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", target)
	}
	if err := checkOwnerAndMode(target, info); err != nil {
		return nil, err
	}
	file, err := os.Open(target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	bytes, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(bytes)) > maxBytes {
		return nil, &engine.LimitError{Limit: "bytes of module", Value: max(info.Size(), int64(len(bytes))), Max: maxBytes}
	}
	return bytes, nil
}

// checkDirectories checks every directory on the way to path.
func checkDirectories(path string) error {
	for directory := filepath.Dir(path); ; directory = filepath.Dir(directory) {
		info, err := os.Stat(directory)
		if err != nil {
			return err
		}
		if err := checkOwnerAndMode(directory, info); err != nil {
			return err
		}
		if directory == filepath.Dir(directory) {
			return nil
		}
	}
}
