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

// maxOccupants is the maximum number of caches and documents, regardless of their size, because
// each cache needs its own watch.
const maxOccupants = 256

// occupant is a cache or a document that uses memory of the pool.
type occupant struct {
	// end releases the occupant's memory. The pool calls it once, without holding locks.
	end func(reason stopReason)
	// owner is the policy for which it was started.
	owner string
	// used is the time of the last use, in nanoseconds.
	used atomic.Int64
	// bytes is the size of the occupant. The pool guards it.
	bytes int64
}

// touch records a use.
func (t *occupant) touch(now time.Time) { t.used.Store(now.UnixNano()) }

// pool bounds the total memory of all occupants. If they exceed the limit, it evicts the least
// recently used one. It is safe for concurrent use.
type pool struct {
	limit    int64
	clock    clock.PassiveClock
	recorder Recorder

	mu        sync.Mutex
	occupants map[*occupant]struct{}
	bytes     int64
}

// add adds an occupant.
func (p *pool) add(t *occupant) {
	t.touch(p.clock.Now())
	p.mu.Lock()
	var gone *occupant
	if _, in := p.occupants[t]; !in && len(p.occupants) >= maxOccupants {
		gone = p.mostOwned()
		p.drop(gone)
	}
	p.occupants[t] = struct{}{}
	p.note()
	p.mu.Unlock()
	if gone != nil {
		gone.end(stopEvicted)
	}
}

// resize sets the size of an occupant. It may evict others to make room, or the occupant itself if
// it alone exceeds the limit.
func (p *pool) resize(t *occupant, bytes int64) {
	p.mu.Lock()
	if _, in := p.occupants[t]; !in {
		p.mu.Unlock() // it is being evicted
		return
	}
	p.bytes += bytes - t.bytes
	t.bytes = bytes
	var gone []*occupant
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
		victim.end(stopEvicted)
	}
	if tooLarge {
		t.end(stopTooLarge)
	}
}

// fits reports whether an occupant can have this size without any eviction.
func (p *pool) fits(t *occupant, bytes int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes-t.bytes+bytes <= p.limit
}

// remove removes an occupant that ends by itself.
func (p *pool) remove(t *occupant) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, in := p.occupants[t]; in {
		p.drop(t)
		p.note()
	}
}

// sweep evicts the occupants that were idle for the given time.
func (p *pool) sweep(idle time.Duration) {
	before := p.clock.Now().Add(-idle).UnixNano()
	p.mu.Lock()
	var gone []*occupant
	for t := range p.occupants {
		if t.used.Load() < before {
			p.drop(t)
			gone = append(gone, t)
		}
	}
	p.note()
	p.mu.Unlock()
	for _, t := range gone {
		t.end(stopIdle)
	}
}

// mostOwned returns the least recently used occupant of the policy that owns the most. A policy
// that keeps starting new caches therefore displaces its own.
func (p *pool) mostOwned() (oldest *occupant) {
	owned := map[string]int{}
	most := 0
	for t := range p.occupants {
		owned[t.owner]++
		most = max(most, owned[t.owner])
	}
	for t := range p.occupants {
		if owned[t.owner] == most && (oldest == nil || t.used.Load() < oldest.used.Load()) {
			oldest = t
		}
	}
	return oldest
}

// oldest returns the least recently used occupant that holds memory, other than the spared one.
func (p *pool) oldest(spared *occupant) (oldest *occupant) {
	for t := range p.occupants {
		if t == spared || t.bytes == 0 {
			continue
		}
		if oldest == nil || t.used.Load() < oldest.used.Load() {
			oldest = t
		}
	}
	return oldest
}

func (p *pool) drop(t *occupant) {
	delete(p.occupants, t)
	p.bytes -= t.bytes
	t.bytes = 0
}

func (p *pool) note() { p.recorder.SetCaches(len(p.occupants), p.bytes) }

// tooLargeError says that an object set exceeds the memory for all caches.
type tooLargeError struct {
	what  string
	limit int64
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf(
		"%s does not fit into the memory for what policies read of the cluster, %d bytes: "+
			"raise that limit, or have the policy ask for less with field masks, selectors or a namespace",
		e.what, e.limit)
}

// run sweeps periodically until ctx ends.
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
