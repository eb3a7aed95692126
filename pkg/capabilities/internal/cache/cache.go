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

// Package cache keeps answers that host capabilities asked for: bounded in number,
// size and age, and asked for once when several want the same.
package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// Options bounds a cache.
type Options[K comparable, V any] struct {
	// Entries is how many answers are kept. Must be positive.
	Entries int
	// Bytes is how large they may be together, as Size sees it; an answer that is larger
	// by itself is returned and not kept. Zero means that only their number is bounded.
	Bytes int64
	// Size returns the bytes that an answer and its key take. Required with Bytes.
	Size func(K, V) int64
	// TTL is how long an answer is given again. Must be positive.
	TTL time.Duration
	// Clock is what TTL goes by; nil is the real one.
	Clock clock.PassiveClock
}

// Cache keeps the answers that were used last. Only successes are kept. It is safe for
// concurrent use. What it returns is shared: callers must not change it.
type Cache[K comparable, V any] struct {
	options Options[K, V]

	mu sync.Mutex
	// entries are answers by key, of type [entry].
	entries *lru.Cache
	bytes   int64
	// flights are the questions that are being asked.
	flights map[K]*flight[V]
}

// entry is an answer that is kept.
type entry[V any] struct {
	value   V
	size    int64
	expires time.Time
}

// New returns an empty cache.
func New[K comparable, V any](options Options[K, V]) *Cache[K, V] {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	c := &Cache[K, V]{options: options, flights: map[K]*flight[V]{}}
	c.entries = lru.NewWithEvictionFunc(options.Entries, func(_ lru.Key, e any) { c.bytes -= e.(entry[V]).size })
	return c
}

// Get returns the answer for the key, and asks for it if there is none that is fresh.
// Those who want the same key at the same time wait for one call of ask, which runs on
// until it returns or until the last of them has given up: the context that it gets has
// the values of the first one's and ends only then. Get returns when ctx ends, with the
// context's error. A panic in ask becomes an error.
func (c *Cache[K, V]) Get(ctx context.Context, key K, ask func(context.Context) (V, error)) (V, error) {
	c.mu.Lock()
	if value, ok := c.lookup(key); ok {
		c.mu.Unlock()
		return value, nil
	}
	f := c.flights[key]
	if f == nil {
		f = c.takeOff(ctx, key, ask)
	}
	f.waiters++
	c.mu.Unlock()
	spans.Link(ctx, f.span)

	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		c.leave(key, f)
		var none V
		return none, context.Cause(ctx)
	}
}

// Len returns how many answers are kept, stale ones included.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries.Len()
}

// Bytes returns how large the answers are that are kept; zero if there is no bound.
func (c *Cache[K, V]) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// lookup returns an answer that is fresh, and drops one that is not.
func (c *Cache[K, V]) lookup(key K) (value V, ok bool) {
	kept, ok := c.entries.Get(key)
	if !ok {
		return value, false
	}
	e := kept.(entry[V])
	if !c.options.Clock.Now().Before(e.expires) {
		c.entries.Remove(key)
		return value, false
	}
	return e.value, true
}

// add keeps an answer, and drops those that were not used for the longest time until
// there is room for it. Its age counts from when it was asked for.
func (c *Cache[K, V]) add(key K, value V, asked time.Time) {
	e := entry[V]{value: value, expires: asked.Add(c.options.TTL)}
	if c.options.Bytes > 0 {
		if e.size = c.options.Size(key, value); e.size > c.options.Bytes {
			return
		}
	}
	c.entries.Remove(key)
	for c.options.Bytes > 0 && c.bytes+e.size > c.options.Bytes {
		c.entries.RemoveOldest()
	}
	c.bytes += e.size
	c.entries.Add(key, e)
}

// flight is one call of an ask and those who wait for it.
type flight[V any] struct {
	cancel  context.CancelFunc
	span    spans.Span
	waiters int
	// done is closed when value and err are there.
	done  chan struct{}
	value V
	err   error
}

// takeOff starts to ask. The package singleflight knows keys that are strings, and no
// context.
func (c *Cache[K, V]) takeOff(ctx context.Context, key K, ask func(context.Context) (V, error)) *flight[V] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ctx, span := spans.StartApart(ctx, spans.Look) // others may wait for it when the request has ended
	f := &flight[V]{cancel: cancel, span: span, done: make(chan struct{})}
	c.flights[key] = f
	go func() {
		defer cancel()
		defer span.End()
		asked := c.options.Clock.Now()
		value, err := recovered(ctx, ask)

		c.mu.Lock()
		defer c.mu.Unlock()
		if c.flights[key] == f {
			delete(c.flights, key)
			if err == nil {
				c.add(key, value, asked)
			}
		}
		f.value, f.err = value, err
		close(f.done)
	}()
	return f
}

// leave is called by one who has given up. With the last one, the question is dropped;
// who comes later asks anew.
func (c *Cache[K, V]) leave(key K, f *flight[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
}

func recovered[V any](ctx context.Context, ask func(context.Context) (V, error)) (value V, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return ask(ctx)
}
