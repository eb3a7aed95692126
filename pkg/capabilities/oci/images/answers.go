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

package images

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"k8s.io/utils/lru"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

const (
	// patience is how long a registry may take if an older answer is available.
	patience = time.Second
	// queued is the number of lookups that may wait for each running one. It applies to the lookups
	// of one policy, and to those of one policy at one registry.
	queued = 8
	// entryBytes is the size of an entry without its content.
	entryBytes = 512
)

// bounds are the limits of [answers].
type bounds struct {
	entries int
	bytes   int64
	// ttl is how long an answer is valid, and failureTTL how long a failure is. staleTTL is how
	// much longer an answer is used if the registry does not answer.
	ttl, failureTTL, staleTTL time.Duration
	// timeout bounds one lookup.
	timeout time.Duration
	// policy and registry are the maximum numbers of concurrent lookups per policy and per
	// registry.
	policy, registry int
	clock            clock.Clock
}

// answers caches answers and failures, and looks up missing ones. Each question has at most one
// running lookup. A lookup continues when nobody waits for it, until its timeout. An answer that is
// in use is refreshed before it expires.
type answers struct {
	bounds
	policies, registries *turns
	// shares limits the lookups of one policy at one registry to the registry's own limit. Lookups
	// at a registry that hangs therefore cannot take all turns of a policy.
	shares *turns

	mu      sync.Mutex
	entries *lru.Cache // of *entry, by key
	held    int64
	flights map[string]*flight // by key
	looks   map[string]int     // by policy, and by share
}

// entry is a cached answer. It is immutable.
type entry struct {
	body []byte
	err  error
	// stale says that body is an older answer, used because the registry did not answer.
	stale bool
	// until is the time at which the entry expires. From refresh on, a use of the entry starts a
	// new lookup.
	until, refresh time.Time
	// good is the last good answer. It may be used until goodUntil.
	good      []byte
	goodUntil time.Time
	size      int64
}

// flight is a running lookup.
type flight struct {
	done chan struct{} // closed once entry is set
	span spans.Span
	*entry
}

// question is what a lookup asks a registry.
type question struct {
	key, policy, registry string
	ask                   func(context.Context) ([]byte, error)
}

// describe completes and ends the lookup's span. The span does not name the registry and the image,
// because they come from the reviewed object.
func (q *question) describe(span spans.Span, err error) {
	if span.Recording() {
		span.Set(spans.Text(spans.PolicyName, q.policy))
		if err != nil {
			span.Fail(string(module.CauseOf(err)))
		}
		span.End()
	}
}

// share returns the key for a policy's lookups at a registry.
func (q *question) share() string { return q.policy + "\x00" + q.registry }

func newAnswers(b bounds) *answers {
	a := &answers{
		bounds:     b,
		policies:   newTurns(b.policy),
		registries: newTurns(b.registry),
		shares:     newTurns(b.registry),
		flights:    map[string]*flight{},
		looks:      map[string]int{},
	}
	a.entries = lru.NewWithEvictionFunc(b.entries, func(_ lru.Key, e any) {
		a.held -= e.(*entry).size
	})
	return a
}

// known returns the cached entry if it needs no lookup.
func (a *answers) known(key string) *entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.lookup(key); e != nil && a.clock.Now().Before(e.refresh) {
		return e
	}
	return nil
}

func (a *answers) lookup(key string) *entry {
	e, _ := a.entries.Get(key)
	known, _ := e.(*entry)
	return known
}

// get returns an answer, and starts a lookup if there is no fresh one. It returns when ctx ends,
// while the lookup continues.
func (a *answers) get(ctx context.Context, q question) ([]byte, result, error) {
	a.mu.Lock()
	e, now := a.lookup(q.key), a.clock.Now()
	f := a.flights[q.key]
	var busy error
	if f == nil && (e == nil || !now.Before(e.refresh)) {
		f, busy = a.takeOff(ctx, q)
	}
	a.mu.Unlock()
	if f != nil {
		spans.Link(ctx, f.span)
	}
	canBeStale := e != nil && e.good != nil && now.Before(e.goodUntil)
	switch {
	case e != nil && now.Before(e.until):
		return e.result(resultCached)
	case canBeStale && (e.stale || busy != nil): // the last lookup got no answer
		return e.good, resultStale, nil
	case busy != nil:
		return nil, resultDenied, busy
	}
	var tired <-chan time.Time
	if canBeStale {
		timer := a.clock.NewTimer(patience)
		defer timer.Stop()
		tired = timer.C()
	}
	select {
	case <-f.done:
		return f.result(resultAsked)
	case <-tired:
		return e.good, resultStale, nil
	case <-ctx.Done():
		return nil, resultFailed, fmt.Errorf(
			"the registry has not answered yet, and the lookup continues for a while: %w",
			context.Cause(ctx))
	}
}

// result returns the entry's answer. how is the result of a good answer.
func (e *entry) result(how result) ([]byte, result, error) {
	switch {
	case e.err != nil && errors.As(e.err, new(*ForbiddenError)):
		return nil, resultDenied, e.err
	case e.err != nil:
		return nil, resultFailed, e.err
	case e.stale:
		return e.body, resultStale, nil
	}
	return e.body, how, nil
}

// takeOff starts a lookup, unless the policy has too many.
func (a *answers) takeOff(ctx context.Context, q question) (*flight, error) {
	if most := a.policy * (1 + queued); a.looks[q.policy] >= most {
		return nil, fmt.Errorf(
			"the policy has %d image lookups running or waiting, at most %d are allowed: see capabilities.oci.policyLooks",
			a.looks[q.policy], most)
	}
	if most := a.registry * (1 + queued); a.looks[q.share()] >= most {
		return nil, fmt.Errorf(
			"the policy has %d image lookups in %s running or waiting, at most %d are allowed: see capabilities.oci.registryLooks",
			a.looks[q.share()], q.registry, most)
	}
	a.looks[q.policy]++
	a.looks[q.share()]++
	f := &flight{done: make(chan struct{})}
	a.flights[q.key] = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
	ctx, f.span = spans.StartApart(ctx, spans.Look)
	go func() {
		defer cancel()
		begin := a.clock.Now()
		body, err := a.fly(ctx, q)
		q.describe(f.span, err)
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.flights, q.key)
		for _, key := range []string{q.policy, q.share()} {
			if a.looks[key]--; a.looks[key] == 0 {
				delete(a.looks, key)
			}
		}
		f.entry = a.settle(q.key, begin, body, err)
		close(f.done)
	}()
	return f, nil
}

// fly waits for its turns and then asks the registry. It turns a panic into an error, because a
// panic would end the process.
func (a *answers) fly(ctx context.Context, q question) (body []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			body, err = nil, fmt.Errorf("panic: %v", r)
		}
	}()
	for _, t := range []struct {
		*turns
		key string
	}{{a.shares, q.share()}, {a.policies, q.policy}, {a.registries, q.registry}} {
		end, err := t.take(ctx, t.key)
		if err != nil {
			return nil, &unansweredError{fmt.Errorf("waiting for earlier image lookups: %w", err)}
		}
		defer end()
	}
	return q.ask(ctx)
}

// settle caches the outcome of a lookup, and returns the entry for those who wait. The age of an
// answer counts from the start of the lookup.
func (a *answers) settle(key string, begin time.Time, body []byte, err error) *entry {
	now, old := a.clock.Now(), a.lookup(key)
	unanswered := errors.As(err, new(*unansweredError))
	e := &entry{body: body, err: err, until: now.Add(a.failureTTL), refresh: now.Add(a.failureTTL)}
	switch {
	case err == nil:
		e.until, e.refresh = begin.Add(a.ttl), begin.Add(a.ttl*3/4)
		e.good, e.goodUntil = body, e.until.Add(a.staleTTL)
	// a refresh failed
	case unanswered && old != nil && old.err == nil && !old.stale && now.Before(old.until):
		kept := *old
		kept.refresh = e.refresh
		e = &kept
	case unanswered && old != nil && old.good != nil && now.Before(old.goodUntil):
		e.body, e.err, e.stale = old.good, nil, true
		e.good, e.goodUntil = old.good, old.goodUntil
	}
	a.keep(key, e)
	return e
}

// keep caches an entry, and evicts the least recently used entries to make room. An entry that
// alone exceeds the limit is not cached.
func (a *answers) keep(key string, e *entry) {
	a.entries.Remove(key)
	e.size = int64(entryBytes + len(key) + len(e.body))
	if e.err != nil {
		e.size += int64(len(e.err.Error()))
	}
	if e.size > a.bytes {
		return
	}
	for a.held+e.size > a.bytes {
		a.entries.RemoveOldest()
	}
	a.held += e.size
	a.entries.Add(key, e)
}
