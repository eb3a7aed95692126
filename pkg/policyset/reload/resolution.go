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

package reload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/stray"
)

// maxKeptBytes bounds the modules that a resolution keeps in memory until they are loaded. Modules
// beyond that are fetched again.
const maxKeptBytes = 256 << 20

// resolution is what the addresses of modules stand for at one time. It is a [policyset.Fetcher] of
// exactly these modules, so a set that is loaded from it has no older or newer ones.
type resolution struct {
	fetcher   policyset.Fetcher
	addresses []address // sorted
	modules   map[address]*resolved
	// changed is set if fetching a module again found a different one.
	changed atomic.Bool
}

// resolved is what one address stands for.
type resolved struct {
	module *module.Module // without bytes; nil if there is an error
	err    error
	// kept is the module with its bytes. If it is nil, the module must be fetched again.
	kept atomic.Pointer[module.Module]
}

// resolve finds out what addresses stand for. Modules that have not changed since the previous
// resolution need not be read again. Modules that are read and not running stay in memory, because
// they will be loaded.
func resolve(ctx context.Context, strays *stray.Calls, fetcher policyset.Fetcher,
	addresses []address, before *resolution, running map[string]bool) *resolution {
	r := &resolution{
		fetcher:   fetcher,
		addresses: addresses,
		modules:   make(map[address]*resolved, len(addresses)),
	}
	for _, a := range addresses {
		r.modules[a] = &resolved{}
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	kept := 0
	for _, a := range addresses {
		group.Go(func() error {
			to := r.modules[a]
			request := a.request()
			request.Have = before.module(a)
			fetched, err := get(ctx, strays, fetcher, request)
			if err != nil {
				to.err = err
				return nil
			}
			without := *fetched
			without.Bytes = nil
			to.module = &without
			mu.Lock()
			defer mu.Unlock()
			if fetched.Bytes != nil && !running[fetched.Digest] &&
				kept+len(fetched.Bytes) <= maxKeptBytes {
				kept += len(fetched.Bytes)
				to.kept.Store(fetched)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return no errors
	return r
}

// get fetches a module. It turns a panic into an error.
func get(ctx context.Context, strays *stray.Calls, fetcher policyset.Fetcher,
	request module.Request) (*module.Module, error) {
	return stray.Within(ctx, strays, "fetching "+module.Redact(request.URI),
		func() (fetched *module.Module, err error) {
			defer func() {
				if r := recover(); r != nil {
					fetched, err = nil, fmt.Errorf("panic while the module was fetched: %v", r)
				}
			}()
			return fetcher.Get(ctx, request)
		}, func(*module.Module) {})
}

// module returns the module at an address, without its bytes, or nil if there is none.
func (r *resolution) module(a address) *module.Module {
	if r == nil || r.modules[a] == nil {
		return nil
	}
	return r.modules[a].module
}

// digest returns the digest of the module at an address, or "" if there is none.
func (r *resolution) digest(a address) string {
	if m := r.module(a); m != nil {
		return m.Digest
	}
	return ""
}

// verifiedBy identifies the verification of the modules: the demands on them, and the trust root.
// "" means that they are not verified.
func (r *resolution) verifiedBy() string {
	all := ""
	for _, a := range r.addresses {
		if m := r.module(a); m != nil {
			all += m.VerifiedBy
		}
	}
	return all
}

// digests returns the digests of all modules.
func (r *resolution) digests() map[string]bool {
	digests := map[string]bool{}
	for _, a := range r.addresses {
		digests[r.digest(a)] = true
	}
	return digests
}

// drop releases the modules in memory after they are loaded.
func (r *resolution) drop() {
	for _, found := range r.modules {
		found.kept.Store(nil)
	}
}

// Get implements [policyset.Fetcher].
func (r *resolution) Get(ctx context.Context, request module.Request) (*module.Module, error) {
	found := r.modules[addressOf(request)]
	var kept *module.Module
	if found != nil {
		kept = found.kept.Load()
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("%s was not resolved", module.Redact(request.URI))
	case found.err != nil:
		return nil, found.err
	case kept != nil:
		return kept, nil
	}
	request.Digest = found.module.Digest
	fetched, err := r.fetcher.Get(ctx, request)
	if errors.As(err, new(*module.DigestError)) {
		r.changed.Store(true)
		return nil, fmt.Errorf("the module changed while it was being loaded: %w", err)
	}
	return fetched, err
}

// hash identifies the desired set by the hash of its source and the digests of its modules.
func (r *resolution) hash(source string) string {
	sum := sha256.New()
	fmt.Fprintln(sum, source)
	for _, a := range r.addresses {
		fmt.Fprintf(sum, "%q %q %q\n", r.digest(a), a.URI, a.Digest)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
