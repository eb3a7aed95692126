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

package kubernetes

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/internal/cache"
)

// Defaults of [AnswerCache].
const (
	defaultCacheEntries = 4096
	defaultCacheBytes   = 16 << 20
	defaultCacheTTL     = 5 * time.Second
)

// AnswerCache bounds what is kept of the answers to one operation, those that were used
// last.
type AnswerCache struct {
	// Entries is how many answers are kept. 0 is 4096.
	Entries int
	// Bytes is how large they may be together, what was asked included. An answer that is
	// larger by itself is not kept. 0 is 16 MiB.
	Bytes int64
	// TTL is how long an answer is given again. 0 is 5 s.
	TTL time.Duration
}

// question is what an answer is kept by.
type question interface {
	comparable
	// size returns the bytes that the question takes.
	size() int64
}

// recent are the answers that were given lately, by what was asked.
type recent[K question] struct{ *cache.Cache[K, []byte] }

func newRecent[K question](bounds AnswerCache, c clock.PassiveClock) recent[K] {
	return recent[K]{cache.New(cache.Options[K, []byte]{
		Entries: cmp.Or(bounds.Entries, defaultCacheEntries), Bytes: cmp.Or(bounds.Bytes, defaultCacheBytes),
		TTL: cmp.Or(bounds.TTL, defaultCacheTTL), Clock: c,
		Size: func(asked K, answer []byte) int64 { return asked.size() + int64(len(answer)) },
	})}
}

// get returns an answer, and whether it was there already. A guest may ask for it to be
// fetched in any case.
func (r recent[K]) get(ctx context.Context, key K, bypass bool, fetch func(context.Context) ([]byte, error)) ([]byte, result, error) {
	if bypass {
		answer, err := fetch(ctx)
		return answer, resultAsked, err
	}
	var asked atomic.Bool
	answer, err := r.Get(ctx, key, func(ctx context.Context) ([]byte, error) {
		asked.Store(true)
		return fetch(ctx)
	})
	if asked.Load() {
		return answer, resultAsked, err
	}
	return answer, resultCached, err
}
