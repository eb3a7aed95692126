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
	"context"
	"errors"
	"fmt"
	"io/fs"

	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// readFile reads a module. By default, it refuses a file that anyone but root and this process's
// user could have written or placed there: a policy is code that runs inside the apiserver.
func readFile(read ReadFile, path string, maxBytes int64) ([]byte, error) {
	bytes, err := read(path, maxBytes)
	var tooLarge *safefile.TooLargeError
	if errors.As(err, &tooLarge) {
		return nil, &engine.LimitError{
			Limit:   "bytes of module",
			Value:   tooLarge.Size,
			Max:     tooLarge.Max,
			Setting: "limits.moduleSize",
		}
	}
	return bytes, err
}

// besideFile reads a file beside the module's file. The same administrator controls both.
func besideFile(read ReadFile, path string) func(context.Context, string, int64) ([]byte, error) {
	return func(_ context.Context, suffix string, most int64) ([]byte, error) {
		content, err := read(path+suffix, most)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s%s: %w", path, suffix, errdef.ErrNotFound)
		}
		return content, err
	}
}
