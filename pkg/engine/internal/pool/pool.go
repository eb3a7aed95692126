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

// Package pool shares a bounded number of values that are expensive to make, such
// as instances of a WebAssembly module, among goroutines that each need one for a
// while.
//
//	v, err := p.Get(ctx)
//	if err != nil { ... }
//	... // use v
//	p.Put(v) // or p.Drop(v), if v must not be used again
//
// Every value that exists or is being made or destroyed takes one of
// [Options.Max] places. Who finds no value and no place waits in line; a value or
// a place that comes free goes straight to the first in line, past whoever comes
// later. A place can therefore be idle only while nobody waits.
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

// ErrClosed is returned by [Pool.Get] once [Pool.Close] was called, also to those
// who were waiting then.
var ErrClosed = errors.New("pool is closed")

// ShedError is returned by [Pool.Get] when no more may wait.
type ShedError struct {
	// Waiters is how many wait already.
	Waiters int
	// Max is how many values there may be.
	Max int
}

// Error implements error.
func (e *ShedError) Error() string {
	return fmt.Sprintf("all %d values are in use and %d callers wait for one already", e.Max, e.Waiters)
}

// Options describes a [Pool].
type Options[T any] struct {
	// Max is how many values may exist at a time, at least 1.
	Max int
	// MaxWaiters is how many callers of [Pool.Get] may wait at a time; with 0
	// nobody waits.
	MaxWaiters int
	// Make makes a value in the goroutine, and with the context, of the caller
	// of [Pool.Get] who is to have it. Several may be made at a time.
	Make func(context.Context) (T, error)
	// Destroy ends a value. It is called exactly once for each value that Make
	// returned without an error, never while the value is in use; several may
	// be destroyed at a time. It must not panic. Nil does nothing.
	Destroy func(T)
	// Now is the clock by which values are idle. Nil means [time.Now].
	Now func() time.Time
}

// idleValue is a value that nobody uses, and since when.
type idleValue[T any] struct {
	value T
	since time.Time
}

// Pool is a bounded set of reusable values. Make one with [New]. It is safe for
// concurrent use, starts no goroutines and sets no timers.
type Pool[T any] struct {
	options Options[T]

	mu      sync.Mutex
	idle    []idleValue[T] // the one put back last is at the end
	places  int            // taken: values in use, idle, being made, being destroyed
	waiters list.List      // of *waiter[T], the first to be served at the front
	closed  bool
	empty   chan struct{} // closed when the pool is and no place is taken
	made    uint64
	shed    uint64
}

// waiter is a caller of Get in line. It is out of the line once it got its grant.
type waiter[T any] struct {
	granted chan grant[T] // of capacity 1; sent to once, under Pool.mu
}

// grant is what a waiter was waiting for.
type grant[T any] struct {
	kind  grantKind
	value T
}

type grantKind int

const (
	grantedValue   grantKind = iota // a value that was put back
	grantedPlace                    // a place to make one in
	grantedNothing                  // the pool was closed
)

// Stats is a view of a [Pool] at one moment.
type Stats struct {
	// InUse is how many values are with callers, being made or being destroyed.
	InUse int
	// Idle is how many values are ready for use.
	Idle int
	// Waiting is how many callers of Get are in line.
	Waiting int
	// Made is how many values were made since the pool was.
	Made uint64
	// Shed is how many calls of Get ended with a [ShedError].
	Shed uint64
}

// New returns an empty pool.
func New[T any](o Options[T]) (*Pool[T], error) {
	switch {
	case o.Max < 1:
		return nil, fmt.Errorf("a pool of at most %d values serves nobody: the maximum must be positive", o.Max)
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

// Get returns the idle value that was used last, as its memory is the most likely
// to be in the caches; or makes one, if there may be one more; or waits for its
// turn. The caller owes the pool one [Pool.Put] or [Pool.Drop] for it.
//
// Errors are the context's, wrapped, if it ends first or has ended; a
// [*ShedError] at once if too many wait; [ErrClosed]; and those of Make, as they
// are, after which the place is free for the next in line.
func (p *Pool[T]) Get(ctx context.Context) (T, error) {
	return p.GetLike(ctx, all[T])
}

// GetLike does what [Pool.Get] does for values that are not all alike, though any will
// do in the end. It prefers an idle value that is like what the caller needs to one that
// is made, and that to the idle value that was unused the longest. Who waits gets
// whatever comes. Like must not block, nor call methods of the pool.
func (p *Pool[T]) GetLike(ctx context.Context, like func(T) bool) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("no value was asked for: %w", err)
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

// all is what every value is like.
func all[T any](T) bool { return true }

// TryGet returns the idle value that was used last of those that are like what the
// caller needs, and whether there was one. It makes nothing, does not wait and does not
// allocate. Like is as for [Pool.GetLike].
func (p *Pool[T]) TryGet(like func(T) bool) (v T, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return v, false
	}
	return p.popIdle(like)
}

// popIdle takes the idle value that was put back last of those that are alike. The
// caller holds p.mu.
func (p *Pool[T]) popIdle(like func(T) bool) (v T, ok bool) {
	for n := len(p.idle) - 1; n >= 0; n-- {
		if v := p.idle[n].value; like(v) {
			p.idle = slices.Delete(p.idle, n, n+1)
			return v, true
		}
	}
	return v, false
}

// wait returns what the waiter is granted, or leaves the line when the context
// ends.
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
		// The grant and the end of the context crossed. What was granted has
		// nobody else who knows of it.
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

// giveBack passes on what a waiter no longer wants.
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

// Put gives a value back for others to use. It goes to the first in line.
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

// Drop destroys a value that came from [Pool.Get] instead of giving it back.
// After that its place goes to the first in line, who makes a new one.
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

// grant serves the first in line, if there is one. The caller holds p.mu.
func (p *Pool[T]) grant(g grant[T]) bool {
	first := p.waiters.Front()
	if first == nil {
		return false
	}
	p.waiters.Remove(first).(*waiter[T]).granted <- g
	return true
}

// Trim destroys idle values, those that were unused the longest first, until at
// most keep of them are left, and returns how many it destroyed.
func (p *Pool[T]) Trim(keep int) int {
	p.mu.Lock()
	surplus := p.takeIdle(len(p.idle) - max(keep, 0))
	p.mu.Unlock()
	for _, v := range surplus {
		p.Drop(v)
	}
	return len(surplus)
}

// TrimBefore is [Pool.Trim] for values that have been idle since before a time. The others stay.
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

// Oldest returns since when the value has been idle that was unused the longest, and how many
// are idle.
func (p *Pool[T]) Oldest() (since time.Time, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return time.Time{}, 0
	}
	return p.idle[0].since, len(p.idle)
}

// TrimLike destroys the idle values that are alike, and returns how many these were. Like
// is as for [Pool.GetLike].
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

// Close ends the pool: from now on Get fails, for those in line too. Idle values
// are destroyed now, those in use when they are put back or dropped. Close
// returns when the last is destroyed, so that what the values live in (mapped
// memory, compiled code) can go then; whoever holds a value must not call it. It
// may be called more than once.
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

// Stats returns the pool's numbers, all of the same moment.
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
