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

// maxKeptBytes bounds the modules that a resolution keeps in memory until they are
// loaded. What does not fit is fetched once more.
const maxKeptBytes = 256 << 20

// resolution is what the addresses of modules stand for at one time. It is a
// [policyset.Fetcher] of just these modules: a set that is loaded from it has none from before or
// after.
type resolution struct {
	fetcher   policyset.Fetcher
	addresses []address // in order
	modules   map[address]*resolved
	// changed is whether a module was found to be another when it was fetched again.
	changed atomic.Bool
}

// resolved is what one address stands for.
type resolved struct {
	module *module.Module // without bytes; nil if there is an error
	err    error
	// kept is the module with bytes; nil: to be fetched again.
	kept atomic.Pointer[module.Module]
}

// resolve finds out what addresses stand for. What was found before need not be read
// again if it is the same. What is read and not running is kept in memory: it is going
// to be loaded.
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
	_ = group.Wait() // the functions return none
	return r
}

// get has the fetcher fetch a module, and takes a panic for an error.
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

// digest returns the digest of the module at an address, "" if there is none.
func (r *resolution) digest(a address) string {
	if m := r.module(a); m != nil {
		return m.Digest
	}
	return ""
}

// verifiedBy identifies what accepted the modules: what was demanded of them, and the trust
// root. "" means that nothing is verified.
func (r *resolution) verifiedBy() string {
	all := ""
	for _, a := range r.addresses {
		if m := r.module(a); m != nil {
			all += m.VerifiedBy
		}
	}
	return all
}

// digests returns the set of all modules' digests.
func (r *resolution) digests() map[string]bool {
	digests := map[string]bool{}
	for _, a := range r.addresses {
		digests[r.digest(a)] = true
	}
	return digests
}

// drop lets go of the modules in memory, once they are loaded.
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

// hash identifies what is wanted: what policies were read from, by its hash, and the
// modules by their digests.
func (r *resolution) hash(source string) string {
	sum := sha256.New()
	fmt.Fprintln(sum, source)
	for _, a := range r.addresses {
		fmt.Fprintf(sum, "%q %q %q\n", r.digest(a), a.URI, a.Digest)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
