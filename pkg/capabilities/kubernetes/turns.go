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
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// limiters are rate limits, one for each policy, so that none uses up another's. Policies
// come and go: a limiter at rest is as good as a new one, and is forgotten. It is safe for
// concurrent use.
type limiters struct {
	rate  rate.Limit
	burst int

	mu       sync.Mutex
	policies map[string]*rate.Limiter
	// most is how many there may be before those at rest are forgotten.
	most int
}

// minLimiters is how many are kept in any case.
const minLimiters = 64

func newLimiters(r rate.Limit, burst int) *limiters {
	return &limiters{rate: r, burst: burst, policies: map[string]*rate.Limiter{}, most: minLimiters}
}

// of returns a policy's limiter.
func (l *limiters) of(policy string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.policies[policy]
	if limiter == nil {
		if len(l.policies) >= l.most {
			l.forget(now)
		}
		limiter = rate.NewLimiter(l.rate, l.burst)
		l.policies[policy] = limiter
	}
	return limiter
}

// forget drops the limiters at rest. It looks at all of them only when there are twice as
// many as were left the last time.
func (l *limiters) forget(now time.Time) {
	for policy, limiter := range l.policies {
		if limiter.TokensAt(now) >= float64(l.burst) {
			delete(l.policies, policy)
		}
	}
	l.most = max(minLimiters, 2*len(l.policies))
}

// turns are the queues of what policies want to start. It is safe for concurrent use.
type turns struct {
	clock    clock.Clock
	limiters *limiters

	mu    sync.Mutex
	heads map[string]*head
}

// head is the head of a policy's queue: whoever is at it has the turn.
type head struct {
	turn chan struct{}
	// count is how many stand in the queue.
	count int
}

func newTurns(c clock.Clock) *turns {
	return &turns{clock: c, limiters: newLimiters(startRate, startBurst), heads: map[string]*head{}}
}

// wait returns when the policy may start something. Who waits takes nothing from those
// behind if ctx ends first: only one at a time has reserved anything.
func (t *turns) wait(ctx context.Context, policy string) error {
	h := t.queue(policy)
	defer t.leave(policy, h)
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := t.clock.Now()
	reservation := t.limiters.of(policy, now).ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay == 0 {
		return nil
	}
	timer := t.clock.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		reservation.CancelAt(t.clock.Now())
		return context.Cause(ctx)
	}
}

func (t *turns) queue(policy string) *head {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.heads[policy]
	if h == nil {
		h = &head{turn: make(chan struct{}, 1)}
		t.heads[policy] = h
	}
	h.count++
	return h
}

func (t *turns) leave(policy string, h *head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.count--; h.count == 0 {
		delete(t.heads, policy)
	}
}
