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
	// patience is how long a registry may take while there is an answer that may be given
	// instead.
	patience = time.Second
	// queued is how many looks of one policy, and of those how many at one registry, may wait
	// for each that may be under way.
	queued = 8
	// entryBytes is what an entry takes beside what is in it.
	entryBytes = 512
)

// bounds are those of [answers].
type bounds struct {
	entries int
	bytes   int64
	// ttl is how long an answer is given again, failureTTL how long a failure is, and staleTTL
	// how much longer an answer is if the registry does not answer.
	ttl, failureTTL, staleTTL time.Duration
	// timeout is the time of one look.
	timeout time.Duration
	// policy and registry are how many looks there may be at the same time, of each.
	policy, registry int
	clock            clock.Clock
}

// answers keeps answers, good and bad, and asks for them. There is one look at a time for a
// question, which goes on when nobody waits for it any more, for no longer than its timeout.
// An answer that is used is asked for again before it is too old.
type answers struct {
	bounds
	policies, registries *turns
	// shares are turns of a policy at a registry, as many as that has: no registry that hangs
	// holds all turns of a policy while its looks wait for one another.
	shares *turns

	mu      sync.Mutex
	entries *lru.Cache // of *entry, by key
	held    int64
	flights map[string]*flight // by key
	looks   map[string]int     // by policy, and by share
}

// entry is what is known. It is not changed.
type entry struct {
	body []byte
	err  error
	// stale says that body is given in place of an answer.
	stale bool
	// until is when it is too old, refresh is when to ask again before.
	until, refresh time.Time
	// good is the last answer, which may be given until goodUntil.
	good      []byte
	goodUntil time.Time
	size      int64
}

// flight is one look.
type flight struct {
	done chan struct{} // closed when entry is there
	span spans.Span
	*entry
}

// question is what is asked.
type question struct {
	key, policy, registry string
	ask                   func(context.Context) ([]byte, error)
}

// describe tells a span of the look, and ends it. The registry and the image are the object's.
func (q *question) describe(span spans.Span, err error) {
	if span.Recording() {
		span.Set(spans.Text(spans.PolicyName, q.policy))
		if err != nil {
			span.Fail(string(module.CauseOf(err)))
		}
		span.End()
	}
}

// share is the key of what a policy asks a registry.
func (q *question) share() string { return q.policy + "\x00" + q.registry }

func newAnswers(b bounds) *answers {
	a := &answers{bounds: b, policies: newTurns(b.policy), registries: newTurns(b.registry), shares: newTurns(b.registry), flights: map[string]*flight{}, looks: map[string]int{}}
	a.entries = lru.NewWithEvictionFunc(b.entries, func(_ lru.Key, e any) { a.held -= e.(*entry).size })
	return a
}

// known returns what is known and fresh enough that nothing is to be asked.
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

// get returns an answer, and asks for it if there is none that is fresh. It returns when ctx
// ends; the look goes on.
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
	case canBeStale && (e.stale || busy != nil): // the registry did not answer before
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
		return nil, resultFailed, fmt.Errorf("the registry has not answered yet, and is asked on for a while: %w", context.Cause(ctx))
	}
}

// result returns what is known, which came as it says.
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

// takeOff begins to ask, unless the policy has too many looks.
func (a *answers) takeOff(ctx context.Context, q question) (*flight, error) {
	if most := a.policy * (1 + queued); a.looks[q.policy] >= most {
		return nil, fmt.Errorf("the policy has %d looks at images under way or waiting, at most %d are allowed: see capabilities.oci.policyLooks", a.looks[q.policy], most)
	}
	if most := a.registry * (1 + queued); a.looks[q.share()] >= most {
		return nil, fmt.Errorf("the policy has %d looks at images in %s under way or waiting, at most %d are allowed: see capabilities.oci.registryLooks", a.looks[q.share()], q.registry, most)
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

// fly waits for turns and asks. A panic becomes an error: it would end the process.
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
			return nil, &unansweredError{fmt.Errorf("waiting for earlier looks at images: %w", err)}
		}
		defer end()
	}
	return q.ask(ctx)
}

// settle keeps what came, and returns what those are told who wait for it. The age of an answer
// counts from when it was asked for.
func (a *answers) settle(key string, begin time.Time, body []byte, err error) *entry {
	now, old := a.clock.Now(), a.lookup(key)
	unanswered := errors.As(err, new(*unansweredError))
	e := &entry{body: body, err: err, until: now.Add(a.failureTTL), refresh: now.Add(a.failureTTL)}
	switch {
	case err == nil:
		e.until, e.refresh = begin.Add(a.ttl), begin.Add(a.ttl*3/4)
		e.good, e.goodUntil = body, e.until.Add(a.staleTTL)
	case unanswered && old != nil && old.err == nil && !old.stale && now.Before(old.until): // asked before it was needed
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

// keep holds an entry, and drops those that were not used for the longest time until there is
// room. One that is too large by itself is not held.
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
