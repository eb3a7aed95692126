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
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// maxTenants is how many caches and documents there may be, whatever their size: each
// cache is a watch of its own.
const maxTenants = 256

// tenant is what takes memory of the pool.
type tenant struct {
	// end drops what the tenant holds. It is called once, without locks held.
	end func(reason Stop)
	// owner is the policy that it was started for.
	owner string
	// used is when the tenant was last used, in nanoseconds.
	used atomic.Int64
	// bytes is what it holds; the pool's.
	bytes int64
}

// touch says that the tenant is used.
func (t *tenant) touch(now time.Time) { t.used.Store(now.UnixNano()) }

// pool bounds the memory of all tenants together: if they take too much, the one that was
// used longest ago has to go. It is safe for concurrent use.
type pool struct {
	limit    int64
	clock    clock.PassiveClock
	recorder Recorder

	mu      sync.Mutex
	tenants map[*tenant]struct{}
	bytes   int64
}

// add takes a tenant in.
func (p *pool) add(t *tenant) {
	t.touch(p.clock.Now())
	p.mu.Lock()
	var gone *tenant
	if _, in := p.tenants[t]; !in && len(p.tenants) >= maxTenants {
		gone = p.mostOwned()
		p.drop(gone)
	}
	p.tenants[t] = struct{}{}
	p.note()
	p.mu.Unlock()
	if gone != nil {
		gone.end(StopEvicted)
	}
}

// resize says how much a tenant holds now. Others may have to go for it, or the tenant
// itself if it is too large alone.
func (p *pool) resize(t *tenant, bytes int64) {
	p.mu.Lock()
	if _, in := p.tenants[t]; !in {
		p.mu.Unlock() // it is on its way out
		return
	}
	p.bytes += bytes - t.bytes
	t.bytes = bytes
	var gone []*tenant
	for p.bytes > p.limit {
		victim := p.oldest(t)
		if victim == nil {
			break
		}
		p.drop(victim)
		gone = append(gone, victim)
	}
	tooLarge := p.bytes > p.limit
	if tooLarge {
		p.drop(t)
	}
	p.note()
	p.mu.Unlock()
	for _, victim := range gone {
		victim.end(StopEvicted)
	}
	if tooLarge {
		t.end(StopTooLarge)
	}
}

// fits tells whether a tenant can hold so much without anybody having to go.
func (p *pool) fits(t *tenant, bytes int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes-t.bytes+bytes <= p.limit
}

// remove lets a tenant go of its own accord.
func (p *pool) remove(t *tenant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, in := p.tenants[t]; in {
		p.drop(t)
		p.note()
	}
}

// sweep lets tenants go that were not used for a time.
func (p *pool) sweep(idle time.Duration) {
	before := p.clock.Now().Add(-idle).UnixNano()
	p.mu.Lock()
	var gone []*tenant
	for t := range p.tenants {
		if t.used.Load() < before {
			p.drop(t)
			gone = append(gone, t)
		}
	}
	p.note()
	p.mu.Unlock()
	for _, t := range gone {
		t.end(StopIdle)
	}
}

// mostOwned returns, of the tenants of the policy that has most of them, the one that was
// used longest ago. So a policy that wants another place each time takes its own.
func (p *pool) mostOwned() (oldest *tenant) {
	owned := map[string]int{}
	most := 0
	for t := range p.tenants {
		owned[t.owner]++
		most = max(most, owned[t.owner])
	}
	for t := range p.tenants {
		if owned[t.owner] == most && (oldest == nil || t.used.Load() < oldest.used.Load()) {
			oldest = t
		}
	}
	return oldest
}

// oldest returns the tenant that was used longest ago and holds something, but for one
// that is spared.
func (p *pool) oldest(spared *tenant) (oldest *tenant) {
	for t := range p.tenants {
		if t == spared || t.bytes == 0 {
			continue
		}
		if oldest == nil || t.used.Load() < oldest.used.Load() {
			oldest = t
		}
	}
	return oldest
}

func (p *pool) drop(t *tenant) {
	delete(p.tenants, t)
	p.bytes -= t.bytes
	t.bytes = 0
}

func (p *pool) note() { p.recorder.SetCaches(len(p.tenants), p.bytes) }

// tooLargeError says that something does not fit into the memory for all caches.
type tooLargeError struct {
	what  string
	limit int64
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%s does not fit into the memory for what policies read of the cluster, %d bytes: "+
		"raise that limit, or have the policy ask for less with field masks, selectors or a namespace", e.what, e.limit)
}

// run sweeps until ctx ends.
func (p *pool) run(ctx context.Context, ticker clock.Ticker, idle time.Duration) {
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			p.sweep(idle)
		case <-ctx.Done():
			return
		}
	}
}
