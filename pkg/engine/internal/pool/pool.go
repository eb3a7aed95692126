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

// Package pool shares a bounded number of values that are expensive to make, such as instances of a
// WebAssembly module, among goroutines that each need one for a while.
//
//	v, err := p.Get(ctx)
//	if err != nil { ... }
//	... // use v
//	p.Put(v) // or p.Drop(v), if v must not be used again
//
// Every value that exists, or is being made or destroyed, takes one of [Options.Max] places. A
// caller that finds neither a value nor a place waits in line. A released value or place goes
// straight to the first caller in line, ahead of later callers. A place is therefore free only
// while nobody waits.
package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrClosed is returned by [Pool.Get] after [Pool.Close], including to callers that were waiting.
var ErrClosed = errors.New("pool is closed")

// ShedError is returned by [Pool.Get] when no more callers may wait.
type ShedError struct {
	// Waiters is the number of callers that wait already.
	Waiters int
	// Max is the maximum number of values.
	Max int
}

// Error implements the error interface.
func (e *ShedError) Error() string {
	return fmt.Sprintf("all %d values are in use and %d callers are already waiting for one", e.Max,
		e.Waiters)
}

// Options describes a [Pool].
type Options[T any] struct {
	// Max is the maximum number of values at a time, at least 1.
	Max int
	// MaxWaiters is the maximum number of callers of [Pool.Get] that wait at a time. With 0, nobody
	// waits.
	MaxWaiters int
	// Make makes a value. It runs in the goroutine, and with the context, of the caller of
	// [Pool.Get] that will get the value. Several calls may run at a time.
	Make func(context.Context) (T, error)
	// Destroy ends a value. The pool calls it exactly once for each value that Make returned
	// without an error, and never while the value is in use. Several calls may run at a time. It
	// must not panic. Nil does nothing.
	Destroy func(T)
	// Now is the clock that measures idle time. Nil means [time.Now].
	Now func() time.Time
}

// idleValue is a value that nobody uses, with the time since when.
type idleValue[T any] struct {
	value T
	since time.Time
}

// Pool is a bounded set of reusable values. Create one with [New]. It is safe for concurrent use,
// and starts no goroutines or timers.
type Pool[T any] struct {
	options Options[T]

	mu      sync.Mutex
	idle    []idleValue[T] // the most recently returned one is last
	places  int            // taken: values in use, idle, being made, or being destroyed
	waiters list.List      // of *waiter[T]; the front is served first
	closed  bool
	empty   chan struct{} // closed when the pool is closed and no place is taken
	made    uint64
	shed    uint64
}

// waiter is a caller of Get in line. It leaves the line when it gets its grant.
type waiter[T any] struct {
	granted chan grant[T] // capacity 1; sent to once, under Pool.mu
}

// grant is what a waiter gets.
type grant[T any] struct {
	kind  grantKind
	value T
}

type grantKind int

const (
	grantedValue   grantKind = iota // a returned value
	grantedPlace                    // a place in which to make a value
	grantedNothing                  // nothing: the pool was closed
)

// Stats is a snapshot of a [Pool]'s numbers.
type Stats struct {
	// InUse is the number of values that callers hold, plus those being made or destroyed.
	InUse int
	// Idle is the number of values ready for use.
	Idle int
	// Waiting is the number of callers of Get in line.
	Waiting int
	// Made is the number of values made since the pool was created.
	Made uint64
	// Shed is the number of calls of Get that failed with a [ShedError].
	Shed uint64
}

// New returns an empty pool.
func New[T any](o Options[T]) (*Pool[T], error) {
	switch {
	case o.Max < 1:
		return nil, fmt.Errorf(
			"a pool of at most %d values serves nobody: the maximum must be positive",
			o.Max)
	case o.MaxWaiters < 0:
		return nil, fmt.Errorf("a pool cannot have at most %d waiters", o.MaxWaiters)
	case o.Make == nil:
		return nil, errors.New("a pool needs a function that makes its values")
	}
	if o.Destroy == nil {
		o.Destroy = func(T) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Pool[T]{options: o, empty: make(chan struct{})}, nil
}

// Get returns the most recently used idle value, because its memory is the most likely to be in the
// CPU caches. Otherwise it makes a value, if another one may exist, or waits for its turn. The
// caller must call [Pool.Put] or [Pool.Drop] for each value.
//
// Get returns the context's error, wrapped, if the context has ended or ends first. It returns a
// [*ShedError] immediately if too many callers wait, and [ErrClosed] if the pool is closed. It
// returns errors of Make unchanged; the place is then free for the next caller in line.
func (p *Pool[T]) Get(ctx context.Context) (T, error) {
	return p.GetLike(ctx, all[T])
}

// GetLike is like [Pool.Get], for values that differ, although any value would do. It prefers an
// idle value for which like returns true. Next it prefers making a value, and then the idle value
// that was unused the longest. A caller that waits gets whatever value is released. like must not
// block or call methods of the pool.
func (p *Pool[T]) GetLike(ctx context.Context, like func(T) bool) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("not waiting for a value: %w", err)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return none, ErrClosed
	}
	if v, ok := p.popIdle(like); ok {
		p.mu.Unlock()
		return v, nil
	}
	switch {
	case p.places < p.options.Max:
		p.places++
		p.mu.Unlock()
		return p.make(ctx)
	case len(p.idle) > 0:
		v := p.takeIdle(1)[0]
		p.mu.Unlock()
		return v, nil
	case p.waiters.Len() >= p.options.MaxWaiters:
		p.shed++
		err := &ShedError{Waiters: p.waiters.Len(), Max: p.options.Max}
		p.mu.Unlock()
		return none, err
	}
	w := &waiter[T]{granted: make(chan grant[T], 1)}
	element := p.waiters.PushBack(w)
	p.mu.Unlock()
	return p.wait(ctx, w, element)
}

// all accepts every value.
func all[T any](T) bool { return true }

// TryGet returns the most recently used idle value for which like returns true, and reports whether
// there was one. It makes nothing, does not wait, and does not allocate. like must obey the same
// rules as for [Pool.GetLike].
func (p *Pool[T]) TryGet(like func(T) bool) (v T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return v, false
	}
	return p.popIdle(like)
}

// popIdle takes the most recently returned idle value for which like returns true. The caller holds
// p.mu.
func (p *Pool[T]) popIdle(like func(T) bool) (v T, ok bool) {
	for n := len(p.idle) - 1; n >= 0; n-- {
		if v := p.idle[n].value; like(v) {
			p.idle = slices.Delete(p.idle, n, n+1)
			return v, true
		}
	}
	return v, false
}

// wait returns what the waiter is granted, or leaves the line when the context ends.
func (p *Pool[T]) wait(ctx context.Context, w *waiter[T], element *list.Element) (T, error) {
	start := time.Now()
	select {
	case g := <-w.granted:
		return p.take(ctx, g)
	case <-ctx.Done():
	}
	p.mu.Lock()
	waiting := p.waiters.Len()
	select {
	case g := <-w.granted:
		// The grant came as the context ended. Nobody else knows about the granted value or place,
		// so pass it on.
		p.mu.Unlock()
		p.giveBack(g)
	default:
		p.waiters.Remove(element)
		p.mu.Unlock()
	}
	var none T
	return none, fmt.Errorf("waited %v, one of %d in line, for one of %d values: %w",
		time.Since(start), waiting, p.options.Max, ctx.Err())
}

// take turns a grant into a value.
func (p *Pool[T]) take(ctx context.Context, g grant[T]) (T, error) {
	switch g.kind {
	case grantedValue:
		return g.value, nil
	case grantedPlace:
		return p.make(ctx)
	default:
		return g.value, ErrClosed
	}
}

// giveBack passes on a grant that a waiter no longer wants.
func (p *Pool[T]) giveBack(g grant[T]) {
	switch g.kind {
	case grantedValue:
		p.Put(g.value)
	case grantedPlace:
		p.vacate()
	}
}

// make makes a value in a place that the caller took.
func (p *Pool[T]) make(ctx context.Context) (T, error) {
	var none T
	made := false
	defer func() {
		if !made { // Make may also have panicked
			p.vacate()
		}
	}()
	v, err := p.options.Make(ctx)
	if err != nil {
		return none, err
	}
	p.mu.Lock()
	p.made++
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.options.Destroy(v)
		return none, ErrClosed
	}
	made = true
	return v, nil
}

// Put returns a value to the pool. It goes to the first caller in line.
func (p *Pool[T]) Put(v T) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.Drop(v)
		return
	}
	defer p.mu.Unlock()
	if !p.grant(grant[T]{kind: grantedValue, value: v}) {
		p.idle = append(p.idle, idleValue[T]{v, p.options.Now()})
	}
}

// Drop destroys a value from [Pool.Get] instead of returning it. Its place then goes to the first
// caller in line, which makes a new value.
func (p *Pool[T]) Drop(v T) {
	defer p.vacate()
	p.options.Destroy(v)
}

// vacate gives up a place.
func (p *Pool[T]) vacate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grant(grant[T]{kind: grantedPlace}) {
		return
	}
	p.places--
	if p.closed && p.places == 0 {
		close(p.empty)
	}
}

// grant serves the first caller in line, if any. The caller holds p.mu.
func (p *Pool[T]) grant(g grant[T]) bool {
	first := p.waiters.Front()
	if first == nil {
		return false
	}
	p.waiters.Remove(first).(*waiter[T]).granted <- g
	return true
}

// Trim destroys idle values, longest unused first, until at most keep are left. It returns how many
// it destroyed.
func (p *Pool[T]) Trim(keep int) int {
	p.mu.Lock()
	surplus := p.takeIdle(len(p.idle) - max(keep, 0))
	p.mu.Unlock()
	for _, v := range surplus {
		p.Drop(v)
	}
	return len(surplus)
}

// TrimBefore is like [Pool.Trim], but only for values that have been idle since before the given
// time.
func (p *Pool[T]) TrimBefore(keep int, before time.Time) int {
	p.mu.Lock()
	n := 0
	for n < len(p.idle)-max(keep, 0) && p.idle[n].since.Before(before) {
		n++
	}
	surplus := p.takeIdle(n)
	p.mu.Unlock()
	for _, v := range surplus {
		p.Drop(v)
	}
	return len(surplus)
}

// Oldest returns the time since which the longest-idle value has been idle, and the number of idle
// values.
func (p *Pool[T]) Oldest() (since time.Time, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return time.Time{}, 0
	}
	return p.idle[0].since, len(p.idle)
}

// TrimLike destroys the idle values for which like returns true, and returns their number. like
// must obey the same rules as for [Pool.GetLike].
func (p *Pool[T]) TrimLike(like func(T) bool) int {
	var taken []T
	p.mu.Lock()
	p.idle = slices.DeleteFunc(p.idle, func(i idleValue[T]) bool {
		if !like(i.value) {
			return false
		}
		taken = append(taken, i.value)
		return true
	})
	p.mu.Unlock()
	for _, v := range taken {
		p.Drop(v)
	}
	return len(taken)
}

// takeIdle takes the n values that were idle the longest. The caller holds p.mu.
func (p *Pool[T]) takeIdle(n int) []T {
	if n <= 0 {
		return nil
	}
	taken := make([]T, n)
	for k := range taken {
		taken[k] = p.idle[k].value
	}
	p.idle = slices.Delete(p.idle, 0, n)
	return taken
}

// Close closes the pool. From now on Get fails, including for callers in line. Close destroys idle
// values immediately; values in use are destroyed when they are put back or dropped. Close returns
// after the last value is destroyed, so that the caller can then free what the values depend on
// (mapped memory, compiled code). A caller that holds a value must not call Close. It may be called
// more than once.
func (p *Pool[T]) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		for p.grant(grant[T]{kind: grantedNothing}) {
		}
		if p.places == 0 {
			close(p.empty)
		}
	}
	idle := p.takeIdle(len(p.idle))
	p.mu.Unlock()
	for _, v := range idle {
		p.Drop(v)
	}
	<-p.empty
}

// Stats returns the pool's numbers at one moment.
func (p *Pool[T]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		InUse:   p.places - len(p.idle),
		Idle:    len(p.idle),
		Waiting: p.waiters.Len(),
		Made:    p.made,
		Shed:    p.shed,
	}
}
