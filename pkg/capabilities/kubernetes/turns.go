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

// limiters holds a rate limiter for each policy, so that no policy uses up another's rate. An idle
// limiter equals a new one, so it is dropped in case its policy is gone. It is safe for concurrent
// use.
type limiters struct {
	rate  rate.Limit
	burst int

	mu       sync.Mutex
	policies map[string]*rate.Limiter
	// most is the number of limiters at which idle ones are dropped.
	most int
}

// minLimiters is the minimum of most.
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

// forget drops the idle limiters. It runs only when there are twice as many limiters as remained
// after the last time.
func (l *limiters) forget(now time.Time) {
	for policy, limiter := range l.policies {
		if limiter.TokensAt(now) >= float64(l.burst) {
			delete(l.policies, policy)
		}
	}
	l.most = max(minLimiters, 2*len(l.policies))
}

// turns holds the queues of policies that want to start a cache. It is safe for concurrent use.
type turns struct {
	clock    clock.Clock
	limiters *limiters

	mu    sync.Mutex
	heads map[string]*head
}

// head is the head of a policy's queue. Its holder has the turn.
type head struct {
	turn chan struct{}
	// count is the number of callers in the queue.
	count int
}

func newTurns(c clock.Clock) *turns {
	return &turns{clock: c, limiters: newLimiters(startRate, startBurst), heads: map[string]*head{}}
}

// wait returns when the policy may start a cache. A caller whose ctx ends first does not delay the
// others behind it, because only one caller at a time holds a reservation.
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
