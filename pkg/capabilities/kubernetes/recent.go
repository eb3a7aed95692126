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
	"time"

	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
)

// answerLifetime is how long an answer of the server is given again.
const answerLifetime = 5 * time.Second

// recent are the answers that were given lately.
type recent struct{ cache *utilcache.LRUExpireCache }

func newRecent(c clock.Clock) *recent {
	return &recent{utilcache.NewLRUExpireCacheWithClock(1024, c)}
}

func (r *recent) get(ctx context.Context, key any, bypass bool, fetch func(context.Context) ([]byte, error)) ([]byte, Look, error) {
	if !bypass {
		if answer, ok := r.cache.Get(key); ok {
			return answer.([]byte), LookCached, nil
		}
	}
	answer, err := fetch(ctx)
	if err != nil {
		return nil, "", err
	}
	r.cache.Add(key, answer, answerLifetime)
	return answer, LookAsked, nil
}
