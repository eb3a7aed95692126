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

// Package module brings policy modules from where people keep them: their bytes,
// read once and hashed, so that what was checked is what is compiled.
package module

import (
	"context"
	"fmt"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Module is a policy's binary as it was read. It is immutable.
type Module struct {
	// Bytes are the binary.
	Bytes []byte
	// Digest is their SHA-256, as "sha256:" and 64 hexadecimal digits.
	Digest string
}

// Fetcher reads modules. Its zero value reads nothing: set MaxBytes.
type Fetcher struct {
	// MaxBytes is the largest module that is read.
	MaxBytes int64
}

// Fetch reads the module at a URI: file:// and an absolute path that stands for
// itself, without escapes.
func (f *Fetcher) Fetch(_ context.Context, uri string) (*Module, error) {
	path, ok := strings.CutPrefix(uri, "file://")
	if !ok {
		return nil, fmt.Errorf("%s is not supported by this version, only file:// and an absolute path is", uri)
	}
	bytes, err := readFile(path, f.MaxBytes)
	if err != nil {
		return nil, err
	}
	return &Module{Bytes: bytes, Digest: engine.Digest(bytes)}, nil
}
