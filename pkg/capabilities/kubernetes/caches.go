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

	"golang.org/x/time/rate"
	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"
)

// startRate and startBurst bound how many caches are started a second: a policy that
// asks with other selectors each time would make a watch for every request.
const startRate, startBurst = 10, 50

// caches are the reflections of all selections that are in use.
type caches struct {
	ctx     context.Context // ends all of them
	options Options
	pool    *pool
	mapping *mapping
	starts  *rate.Limiter

	mu          sync.Mutex
	reflections map[selection]*reflection
}

func newCaches(ctx context.Context, options Options, p *pool, m *mapping) *caches {
	return &caches{
		ctx: ctx, options: options, pool: p, mapping: m,
		starts:      rate.NewLimiter(startRate, startBurst),
		reflections: map[selection]*reflection{},
	}
}

// list returns the objects of a selection, and whether they were there already. The mask
// is the one that the selection names.
func (c *caches) list(ctx context.Context, s selection, m mask) (*list, Look, error) {
	r, err := c.reflection(s, m)
	if err != nil {
		return nil, "", err
	}
	found := LookAsked
	if r.ready() {
		found = LookCached
	}
	l, err := r.list(ctx)
	return l, found, err
}

// reflection returns the selection's, and starts it if there is none.
func (c *caches) reflection(s selection, m mask) (*reflection, error) {
	now := c.options.Clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.reflections[s]; r != nil && !r.over(now) {
		r.touch(now)
		return r, nil
	}
	if !c.starts.AllowN(now, 1) {
		return nil, fmt.Errorf("too many different lists are asked for: %s has to wait", &s)
	}
	for s, r := range c.reflections { // there are few
		if r.over(now) {
			delete(c.reflections, s)
		}
	}
	r := c.start(s, m)
	c.reflections[s] = r
	return r, nil
}

func (c *caches) start(s selection, m mask) *reflection {
	ctx, cancel := context.WithCancel(c.ctx)
	r := &reflection{
		selection: s,
		clock:     c.options.Clock,
		logger:    klog.FromContext(ctx).WithValues("resource", s.GroupVersionResource.String(), "namespace", s.namespace),
		recorder:  c.options.Recorder,
		cancel:    cancel,
		filled:    make(chan struct{}),
		ended:     make(chan struct{}),
		limit:     c.pool.limit,
		gone:      func() { c.mapping.doubt(ctx, &s.resource) },
	}
	r.end = r.evict
	r.remove = func() { c.pool.remove(&r.tenant) }
	base := newList(newEncoder(s.resource, m))
	st := &store{
		encoder: base.encoder, base: base, changes: map[identity][]byte{}, clock: r.clock,
		fail: r.fail, filled: sync.OnceFunc(func() { close(r.filled) }),
		resize: func(bytes int64) { c.pool.resize(&r.tenant, bytes) },
	}
	r.store.Store(st)
	c.pool.add(&r.tenant)
	r.logger.V(2).Info("Watching for policies")
	var client dynamic.ResourceInterface = c.options.Client.Resource(s.GroupVersionResource)
	if s.namespace != "" {
		client = c.options.Client.Resource(s.GroupVersionResource).Namespace(s.namespace)
	}
	go r.run(ctx, client, st)
	return r
}
