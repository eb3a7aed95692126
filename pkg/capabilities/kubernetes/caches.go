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

	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// startRate and startBurst limit the caches started per second for one policy. Otherwise, a policy
// that varies its queries would start a watch for every request.
const startRate, startBurst = 10, 50

// caches holds the reflections of all selections in use.
type caches struct {
	ctx     context.Context // ends all of them
	options Options
	pool    *pool
	mapping *mapping
	turns   *turns

	mu          sync.Mutex
	reflections map[selection]*reflection
	// starting holds the selections whose start waits for the policy's turn. The channel is closed
	// after the start.
	starting map[start]chan struct{}
}

// start identifies a selection that a policy wants to start.
type start struct {
	policy string
	selection
}

func newCaches(ctx context.Context, options Options, p *pool, m *mapping) *caches {
	return &caches{
		ctx: ctx, options: options, pool: p, mapping: m,
		turns:       newTurns(options.Clock),
		reflections: map[selection]*reflection{},
		starting:    map[start]chan struct{}{},
	}
}

// list returns the objects of a selection, and whether they came from the cache. The mask must be
// the parsed form of the selection's mask. The policy is the caller.
func (c *caches) list(ctx context.Context, policy string, s selection,
	m mask) (*list, result, error) {
	_, l, found, err := c.fetch(ctx, policy, s, m)
	return l, found, err
}

// choose returns the response to a query, with the objects of one namespace. An empty namespace
// selects all objects of the query.
func (c *caches) choose(ctx context.Context, policy string, q query,
	namespace string) ([]byte, result, error) {
	r, l, found, err := c.fetch(ctx, policy, q.selection, q.mask)
	if err != nil {
		return nil, "", err
	}
	response, remembered, err := l.choose(ctx, q.choice, namespace)
	if remembered {
		r.remembered()
	}
	return response, found, err
}

func (c *caches) fetch(ctx context.Context, policy string, s selection,
	m mask) (*reflection, *list, result, error) {
	r, err := c.reflection(ctx, policy, s, m)
	if err != nil {
		return nil, nil, "", err
	}
	found := resultAsked
	if r.ready() {
		found = resultCached
	}
	l, err := r.list(ctx)
	return r, l, found, err
}

// reflection returns the reflection of a selection, and starts it if necessary. To start one, it
// waits for the policy's turn, until ctx ends. Policies do not wait for each other's turns.
func (c *caches) reflection(ctx context.Context, policy string, s selection,
	m mask) (*reflection, error) {
	for {
		r, others := c.find(policy, s)
		switch {
		case r != nil:
			return r, nil
		case others == nil:
			return c.startInTurn(ctx, policy, s, m)
		}
		select {
		case <-others:
		case <-ctx.Done():
			return nil, errNoTurn(ctx, &s)
		}
	}
}

// find returns the reflection of a selection. If there is none, it returns a channel that is closed
// after the policy's attempt to start it. A nil channel asks the caller to start it.
func (c *caches) find(policy string, s selection) (*reflection, chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.current(s); r != nil {
		return r, nil
	}
	others := c.starting[start{policy, s}]
	if others == nil {
		c.starting[start{policy, s}] = make(chan struct{})
	}
	return nil, others
}

// current returns the reflection of a selection, if there is one. The caller holds the lock.
func (c *caches) current(s selection) *reflection {
	now := c.options.Clock.Now()
	if r := c.reflections[s]; r != nil && !r.over(now) {
		r.touch(now)
		return r
	}
	return nil
}

func (c *caches) startInTurn(ctx context.Context, policy string, s selection,
	m mask) (*reflection, error) {
	err := c.turns.wait(ctx, policy)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		key := start{policy, s}
		close(c.starting[key])
		delete(c.starting, key)
	}()
	if r := c.current(s); r != nil { // another policy has started it
		return r, nil
	}
	if err != nil {
		return nil, errNoTurn(ctx, &s)
	}
	now := c.options.Clock.Now()
	for s, r := range c.reflections { // there are only a few
		if r.over(now) {
			delete(c.reflections, s)
		}
	}
	r := c.start(policy, s, m)
	c.reflections[s] = r
	return r, nil
}

// errNoTurn returns the error for an evaluation whose time ended before its cache could start.
func errNoTurn(ctx context.Context, s *selection) error {
	return &abi.ShortageError{Err: fmt.Errorf(
		"the policy asks for too many different lists: %s must wait, because a policy may start %d per second: %w",
		s, startRate, context.Cause(ctx))}
}

func (c *caches) start(policy string, s selection, m mask) *reflection {
	ctx, cancel := context.WithCancel(c.ctx)
	r := &reflection{
		selection: s,
		clock:     c.options.Clock,
		logger: klog.FromContext(ctx).WithValues("resource", s.GroupVersionResource.String(),
			"namespace", s.namespace),
		recorder: c.options.Recorder,
		cancel:   cancel,
		filled:   make(chan struct{}),
		ended:    make(chan struct{}),
		limit:    c.pool.limit,
		gone:     func() { c.mapping.markStale(ctx, &s.resource) },
	}
	r.end, r.owner = r.evict, policy
	r.remove = func() { c.pool.remove(&r.occupant) }
	base := newList(newEncoder(s.resource, m))
	st := &store{
		encoder: base.encoder, base: base, changes: map[identity][]byte{}, clock: r.clock,
		fail: r.fail, filled: sync.OnceFunc(func() { close(r.filled) }),
		resize: func(bytes int64) { c.pool.resize(&r.occupant, bytes) },
		fits:   func(bytes int64) bool { return c.pool.fits(&r.occupant, bytes) },
	}
	r.store.Store(st)
	c.pool.add(&r.occupant)
	r.logger.V(2).Info("Watching for policies")
	var client dynamic.ResourceInterface = c.options.Client.Resource(s.GroupVersionResource)
	if s.namespace != "" {
		client = c.options.Client.Resource(s.GroupVersionResource).Namespace(s.namespace)
	}
	go r.run(ctx, client, st)
	return r
}
