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

// pulledFrom returns where a file of the store of policies is from, if modules are verified: its
// signatures are there, and not beside the file.
func (f *Fetcher) pulledFrom(path string) (uri string, ok bool) {
	if f.options.Verifier == nil || f.options.Policies == nil {
		return "", false
	}
	return f.options.Policies.URIOf(path)
}

// vouched returns a module of the store of policies if its source names it and has signatures of
// it that are accepted. Nothing in the store says that a file is what its place names.
func (f *Fetcher) vouched(ctx context.Context, request module.Request, bytes []byte) (*module.Module, error) {
	remote, err := f.Remote(ctx)
	if err != nil {
		return nil, err
	}
	m, err := newModule(bytes, f.options.MaxBytes, request.Digest)
	if err != nil {
		return nil, err
	}
	// It need not be downloaded again. If it cannot be kept it is, and nothing else.
	_ = f.store.Put(m)
	request.Digest = m.Digest
	got, err := remote.Get(ctx, request)
	if errors.As(err, new(*module.DigestError)) {
		return nil, fmt.Errorf("the store of policies has something else than its source: remove it with the command rm, and pull it again: %w", err)
	}
	return got, err
}

// sizeError says which limit a file is too large for.
func sizeError(err error) error {
	if large := (*safefile.TooLargeError)(nil); errors.As(err, &large) {
		return &engine.LimitError{Limit: "bytes of module", Value: large.Size, Max: large.Max, Setting: "limits.moduleSize"}
	}
	return err
}
