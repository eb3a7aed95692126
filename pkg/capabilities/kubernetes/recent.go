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
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/cache"
)

const (
	// answerLifetime is how long an answer of the server is given again.
	answerLifetime = 5 * time.Second
	// recentAnswers and recentBytes bound the answers that are kept of one operation.
	recentAnswers = 4096
	recentBytes   = 16 << 20
)

// recent are the answers that were given lately, by what was asked.
type recent[K comparable] struct{ *cache.Cache[K, []byte] }

func newRecent[K comparable](c clock.PassiveClock) recent[K] {
	return recent[K]{cache.New(cache.Options[K, []byte]{
		Entries: recentAnswers, Bytes: recentBytes, TTL: answerLifetime, Clock: c,
		Size: func(_ K, answer []byte) int64 { return int64(len(answer)) },
	})}
}

// get returns an answer, and whether it was there already. A guest may ask for it to be
// fetched in any case.
func (r recent[K]) get(ctx context.Context, key K, bypass bool, fetch func(context.Context) ([]byte, error)) ([]byte, Look, error) {
	if bypass {
		answer, err := fetch(ctx)
		return answer, LookAsked, err
	}
	var asked atomic.Bool
	answer, err := r.Get(ctx, key, func(ctx context.Context) ([]byte, error) {
		asked.Store(true)
		return fetch(ctx)
	})
	if asked.Load() {
		return answer, LookAsked, err
	}
	return answer, LookCached, err
}
