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

package policyset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// maxKeptBytes bounds the modules that a resolution keeps in memory until they are
// loaded. What does not fit is fetched once more.
const maxKeptBytes = 256 << 20

// resolution is what the URIs of modules stand for at one time. It is a [Fetcher] of
// just these modules: a set that is loaded from it has no module from before or after.
type resolution struct {
	fetcher Fetcher
	uris    []string // in order
	modules map[string]*resolved
	// changed is whether a module was found to be another when it was fetched again.
	changed atomic.Bool
}

// resolved is what one URI stands for.
type resolved struct {
	digest string
	err    error
	kept   *module.Module // nil: to be fetched again
}

// resolve fetches all modules, and keeps those in memory that are needed: those whose
// digests are not known.
func resolve(ctx context.Context, fetcher Fetcher, uris []string, known map[string]bool) *resolution {
	r := &resolution{fetcher: fetcher, uris: uris, modules: make(map[string]*resolved, len(uris))}
	for _, uri := range uris {
		r.modules[uri] = &resolved{}
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	kept := 0
	for _, uri := range uris {
		group.Go(func() error {
			to := r.modules[uri]
			fetched, err := fetch(ctx, fetcher, uri)
			if err != nil {
				to.err = err
				return nil
			}
			to.digest = fetched.Digest
			mu.Lock()
			defer mu.Unlock()
			if !known[fetched.Digest] && kept+len(fetched.Bytes) <= maxKeptBytes {
				kept += len(fetched.Bytes)
				to.kept = fetched
			}
			return nil
		})
	}
	_ = group.Wait() // the functions return none
	return r
}

// fetch has the fetcher bring a module, and takes a panic for an error.
func fetch(ctx context.Context, fetcher Fetcher, uri string) (fetched *module.Module, err error) {
	defer func() {
		if r := recover(); r != nil {
			fetched, err = nil, fmt.Errorf("panic while the module was fetched: %v", r)
		}
	}()
	return fetcher.Fetch(ctx, uri)
}

// digest returns the digest of the module at a URI, "" if there is none.
func (r *resolution) digest(uri string) string {
	if found := r.modules[uri]; found != nil {
		return found.digest
	}
	return ""
}

// digests returns the set of all modules' digests.
func (r *resolution) digests() map[string]bool {
	digests := map[string]bool{}
	for _, found := range r.modules {
		digests[found.digest] = true
	}
	return digests
}

// Fetch implements [Fetcher].
func (r *resolution) Fetch(ctx context.Context, uri string) (*module.Module, error) {
	found := r.modules[uri]
	switch {
	case found == nil:
		return nil, fmt.Errorf("%s was not resolved", uri)
	case found.err != nil:
		return nil, found.err
	case found.kept != nil:
		return found.kept, nil
	}
	again, err := r.fetcher.Fetch(ctx, uri)
	if err != nil {
		return nil, err
	}
	if again.Digest != found.digest {
		r.changed.Store(true)
		return nil, fmt.Errorf("the module changed from %s to %s while it was being loaded", found.digest, again.Digest)
	}
	return again, nil
}

// hash identifies what is wanted: what policies were read from, by its hash, and the
// modules by their digests.
func (r *resolution) hash(source string) string {
	sum := sha256.New()
	fmt.Fprintln(sum, source)
	for _, uri := range r.uris {
		fmt.Fprintf(sum, "%q %q\n", r.modules[uri].digest, uri)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
