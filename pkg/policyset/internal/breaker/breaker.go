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

// Package breaker stops attempts that keep failing. After a number of consecutive failures, it
// answers in their place at once, and now and then lets one attempt through as a probe.
package breaker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// Options configure a [Breaker].
type Options struct {
	// Failures is how many consecutive attempts must fail for the breaker to open. It is at least
	// 1.
	Failures int
	// ProbeInterval is how long an open breaker waits before each probe: after it opened, and after
	// each probe that failed.
	ProbeInterval time.Duration
	// Clock tells the time. nil means the system clock.
	Clock clock.PassiveClock
	// Notify is called for each transition, in order, within the attempt that caused it. It must be
	// fast, and must not use the breaker. It may be nil.
	Notify func(context.Context, Transition)
}

// Transition is the opening or closing of a breaker.
type Transition struct {
	// Open is true if the breaker opened, and false if it closed.
	Open bool
	// Since is when the breaker opened, even if it has now closed.
	Since time.Time
	// Failures is how many consecutive attempts failed, including probes.
	Failures int
	// Last is the error of the last one.
	Last error
}

// Breaker counts failures. Create one with [New]. A nil Breaker never opens. It is safe for
// concurrent use. While it is closed, it does not lock or allocate, and writes to memory only after
// failures.
type Breaker struct {
	options Options

	// state has the number of transitions in its upper half, which is odd while the breaker is
	// open, and the consecutive failures in its lower half. Attempts remember the number of
	// transitions: the result of an attempt that began before the last transition does not count.
	state atomic.Uint64

	mu sync.Mutex // guards the fields below, which are used only while open
	// opened has Since, Failures and Last.
	opened  Transition
	next    time.Time // when to probe
	probing bool
}

// New returns a closed breaker.
func New(o Options) *Breaker {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Notify == nil {
		o.Notify = func(context.Context, Transition) {}
	}
	return &Breaker{options: o}
}

// OpenError is the error for an attempt that an open breaker did not allow. Its text does not
// repeat the last failure, which belongs to another request and may reveal something about it.
type OpenError struct {
	// Since is when the breaker opened.
	Since time.Time
	// Failures is how many consecutive attempts failed.
	Failures int
	// Last is the error of the last one. It is for logs.
	Last error
}

// Error implements the error interface.
func (e *OpenError) Error() string {
	return fmt.Sprintf("circuit breaker open since %s: not evaluated after %d failures in a row",
		e.Since.UTC().Format(time.RFC3339), e.Failures)
}

// Attempt is an attempt that the breaker let through. When it has ended, call exactly one of its
// methods, once.
type Attempt struct {
	breaker     *Breaker // nil without a breaker
	transitions uint32
	probe       bool
}

// Begin asks for an attempt. The error is an [*OpenError].
func (b *Breaker) Begin() (Attempt, error) {
	if b == nil {
		return Attempt{}, nil
	}
	if transitions, _ := split(b.state.Load()); !isOpen(transitions) {
		return Attempt{breaker: b, transitions: transitions}, nil
	}
	return b.beginProbe()
}

// beginProbe lets an attempt through if a probe is due and no other probe is running.
func (b *Breaker) beginProbe() (Attempt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	transitions, _ := split(b.state.Load())
	switch {
	case !isOpen(transitions): // it has closed in the meantime
		return Attempt{breaker: b, transitions: transitions}, nil
	case b.probing || b.options.Clock.Now().Before(b.next):
		return Attempt{},
			&OpenError{Since: b.opened.Since, Failures: b.opened.Failures, Last: b.opened.Last}
	}
	b.probing = true
	return Attempt{breaker: b, transitions: transitions, probe: true}, nil
}

// Open reports whether the breaker is open.
func (b *Breaker) Open() bool {
	if b == nil {
		return false
	}
	transitions, _ := split(b.state.Load())
	return isOpen(transitions)
}

// Succeeded ends an attempt that succeeded. It resets the count of failures, and closes an open
// breaker if the attempt was a probe.
func (a Attempt) Succeeded(ctx context.Context) {
	b := a.breaker
	switch {
	case b == nil:
	case a.probe:
		b.close(ctx)
	default:
		for {
			state := b.state.Load()
			transitions, failures := split(state)
			if transitions != a.transitions || failures == 0 ||
				b.state.CompareAndSwap(state, join(transitions, 0)) {
				return
			}
		}
	}
}

// Failed ends an attempt that failed. It opens the breaker if there have been enough failures.
func (a Attempt) Failed(ctx context.Context, err error) {
	b := a.breaker
	switch {
	case b == nil:
	case a.probe:
		b.failProbe(err)
	default:
		for {
			state := b.state.Load()
			transitions, failures := split(state)
			if transitions != a.transitions {
				return
			}
			if int64(failures)+1 >= int64(b.options.Failures) {
				if b.open(ctx, state, err) {
					return
				}
			} else if b.state.CompareAndSwap(state, join(transitions, failures+1)) {
				return
			}
		}
	}
}

// Abandoned ends an attempt without a result. It does not count. If it was a probe, the next
// attempt is a probe too.
func (a Attempt) Abandoned() {
	if a.probe {
		a.breaker.mu.Lock()
		defer a.breaker.mu.Unlock()
		a.breaker.probing = false
	}
}

// open opens the breaker if its state has not changed.
func (b *Breaker) open(ctx context.Context, state uint64, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	transitions, failures := split(state)
	now := b.options.Clock.Now()
	if !b.state.CompareAndSwap(state, join(transitions+1, 0)) {
		return false
	}
	b.opened = Transition{Open: true, Since: now, Failures: int(failures) + 1, Last: err}
	b.next, b.probing = now.Add(b.options.ProbeInterval), false
	b.options.Notify(ctx, b.opened)
	return true
}

func (b *Breaker) failProbe(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened.Failures++
	b.opened.Last = err
	b.next, b.probing = b.options.Clock.Now().Add(b.options.ProbeInterval), false
}

// close closes the breaker after a probe. While the breaker is open, only its single probe changes
// the state.
func (b *Breaker) close(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	transitions, _ := split(b.state.Load())
	b.state.Store(join(transitions+1, 0))
	closed := b.opened
	closed.Open = false
	b.opened, b.probing = Transition{}, false
	b.options.Notify(ctx, closed)
}

func split(state uint64) (transitions, failures uint32) {
	return uint32(state >> 32), uint32(state)
}

func join(transitions, failures uint32) uint64 { return uint64(transitions)<<32 | uint64(failures) }

func isOpen(transitions uint32) bool { return transitions%2 == 1 }
