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

// Package cache caches the answers of host capabilities. It bounds their number, size and age, and
// shares one call among concurrent requests for the same key.
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
	// Entries is the maximum number of answers. It must be positive.
	Entries int
	// Bytes is the maximum total size of the answers, as reported by Size. A single larger answer
	// is returned but not cached. With zero, only Entries bounds the cache.
	Bytes int64
	// Size returns the size of an answer and its key in bytes. It is required if Bytes is set.
	Size func(K, V) int64
	// TTL is the time for which an answer is valid. It must be positive.
	TTL time.Duration
	// Clock measures the TTL. Nil is the real clock.
	Clock clock.PassiveClock
}

// Cache holds the most recently used answers. It caches successes only. It is safe for concurrent
// use. Callers share the returned values and must not modify them.
type Cache[K comparable, V any] struct {
	options Options[K, V]

	mu sync.Mutex
	// entries holds answers of type [entry], by key.
	entries *lru.Cache
	bytes   int64
	// flights holds the running calls.
	flights map[K]*flight[V]
}

// entry is a cached answer.
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
	c.entries = lru.NewWithEvictionFunc(options.Entries, func(_ lru.Key, e any) {
		c.bytes -= e.(entry[V]).size
	})
	return c
}

// Get returns the answer for the key. If there is no fresh answer, it calls ask. Concurrent callers
// with the same key wait for one call of ask. Ask receives a context with the values of the first
// caller's context, which ends only after ask returns or all callers have given up. Get returns
// when ctx ends, with the context's error. A panic in ask becomes an error.
func (c *Cache[K, V]) Get(ctx context.Context, key K,
	ask func(context.Context) (V, error)) (V, error) {
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

// Len returns the number of cached answers, including stale ones.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries.Len()
}

// Bytes returns the total size of the cached answers, or zero if Bytes is unbounded.
func (c *Cache[K, V]) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// lookup returns a fresh answer. It drops a stale one.
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

// add caches an answer, and evicts the least recently used answers to make room. The age of an
// answer counts from the start of the call.
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

// flight is a running call with its waiting callers.
type flight[V any] struct {
	cancel  context.CancelFunc
	span    spans.Span
	waiters int
	// done is closed once value and err are set.
	done  chan struct{}
	value V
	err   error
}

// takeOff starts a call. The package singleflight would not do: it supports only string keys, and
// no context.
func (c *Cache[K, V]) takeOff(ctx context.Context, key K,
	ask func(context.Context) (V, error)) *flight[V] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	// other requests may still wait when this one ends
	ctx, span := spans.StartApart(ctx, spans.Look)
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

// leave removes a caller that has given up. The last one cancels the call, and later callers start
// a new one.
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

func recovered[V any](ctx context.Context,
	ask func(context.Context) (V, error)) (value V, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return ask(ctx)
}
