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

package sources

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// pulledFrom returns the origin of a file in the store of policies, if modules are verified. The
// signatures are at the origin, and not beside the file.
func (f *Fetcher) pulledFrom(path string) (uri string, ok bool) {
	if f.options.Verifier == nil || f.options.Policies == nil {
		return "", false
	}
	return f.options.Policies.URIOf(path)
}

// vouched returns a module from the store of policies if its source names it and has acceptable
// signatures for it. The store itself does not prove that a file is what its place says.
func (f *Fetcher) vouched(ctx context.Context, request module.Request,
	bytes []byte) (*module.Module, error) {
	remote, err := f.Remote(ctx)
	if err != nil {
		return nil, err
	}
	m, err := newModule(bytes, f.options.MaxBytes, request.Digest)
	if err != nil {
		return nil, err
	}
	// This avoids another download. If it fails, the module is downloaded.
	_ = f.store.Put(m)
	request.Digest = m.Digest
	got, err := remote.Get(ctx, request)
	if errors.As(err, new(*module.DigestError)) {
		return nil, fmt.Errorf(
			"the store of policies differs from the source: remove it with the command rm, and pull it again: %w",
			err)
	}
	return got, err
}

// sizeError adds to an error the limit that a file exceeds.
func sizeError(err error) error {
	if large := (*safefile.TooLargeError)(nil); errors.As(err, &large) {
		return &engine.LimitError{
			Limit:   "bytes of module",
			Value:   large.Size,
			Max:     large.Max,
			Setting: "limits.moduleSize",
		}
	}
	return err
}
