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

// AnswerCache bounds the cached answers of one operation. The most recently used ones are kept.
type AnswerCache struct {
	// Entries is the maximum number of answers. The default for 0 is 4096.
	Entries int
	// Bytes is the maximum total size of questions and answers. A single larger answer is not
	// cached. The default for 0 is 16 MiB.
	Bytes int64
	// TTL is how long an answer is valid. The default for 0 is 5 s.
	TTL time.Duration
}

// question is the key of a cached answer.
type question interface {
	comparable
	// size returns the size of the question in bytes.
	size() int64
}

// recent caches recent answers by question.
type recent[K question] struct{ *cache.Cache[K, []byte] }

func newRecent[K question](bounds AnswerCache, c clock.PassiveClock) recent[K] {
	return recent[K]{cache.New(cache.Options[K, []byte]{
		Entries: cmp.Or(bounds.Entries, defaultCacheEntries),
		Bytes:   cmp.Or(bounds.Bytes, defaultCacheBytes),
		TTL:     cmp.Or(bounds.TTL, defaultCacheTTL), Clock: c,
		Size: func(asked K, answer []byte) int64 { return asked.size() + int64(len(answer)) },
	})}
}

// get returns an answer, and whether it came from the cache. With bypass, a guest asks to skip the
// cache.
func (r recent[K]) get(ctx context.Context, key K, bypass bool,
	fetch func(context.Context) ([]byte, error)) ([]byte, result, error) {
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
