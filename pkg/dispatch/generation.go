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

package dispatch

import (
	"context"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Previous generations stay for the requests that were received before the current one began.
const (
	// overlap is how long they stay: longer than the apiserver's default timeout for a request. A
	// request that takes longer is rejected, including requests that connect to something and have
	// no end.
	overlap = 70 * time.Second
	// maxBefore bounds their number, in case sets change in quick succession.
	maxBefore = 16
)

// generation is a set of policies in use, with its indexes.
//
// A request goes through admission in two phases, and the second does not know about the first.
// Both must use the same set. Otherwise neither phase would evaluate a policy that became a
// mutating one in between, and one set could mutate a request that another set validates. So a
// request belongs to the generation that was current when the apiserver received it. That needs no
// state, because requests carry the time. The first look at a published generation sets its
// beginning; see begin. A request whose generation has been given up is rejected: nobody knows
// any more what its first phase evaluated.
type generation struct {
	set        *policyset.Set
	mutating   *index
	validating *index
	// since is when the generation began, or nil before the first call of begin.
	since atomic.Pointer[time.Time]
	// first is set if there was no previous generation. Then this one also serves all requests that
	// were received before it began.
	first bool
	// before is the generation for requests that were received earlier. It is nil if there is none,
	// or if it has been given up.
	before atomic.Pointer[generation]
}

func newGeneration(set *policyset.Set) *generation {
	var mutating, validating []*hook
	for _, policy := range set.Policies() {
		if policy.Spec().Mutating {
			mutating = append(mutating, newHook(policy))
		} else {
			validating = append(validating, newHook(policy))
		}
	}
	return &generation{set: set, mutating: newIndex(mutating), validating: newIndex(validating)}
}

// index returns the index of the policies that a phase evaluates.
func (g *generation) index(phase phase) *index {
	if phase == admit {
		return g.mutating
	}
	return g.validating
}

// of returns the generation that a request belongs to: g or an earlier one, or nil if that has been
// given up. A request without the time when it was received belongs to g.
func (g *generation) of(ctx context.Context) *generation {
	received, known := apirequest.ReceivedTimestampFrom(ctx)
	for g != nil && known && !g.first && !received.After(g.begin()) {
		g = g.before.Load()
	}
	return g
}

// errGivenUp returns the error for a request whose generation has been given up.
func errGivenUp() error {
	return apierrors.NewTimeoutError(
		"the policies changed while the request was in progress, and it took so long that those it began with are gone: send it again",
		1)
}

// begin returns when the generation began. The first call decides this for all requests. A
// request's time and this time never change, so both phases of a request find the same generation.
// A request that has not seen this generation was received before any call of begin, and a request
// that is received after a call sees it.
func (g *generation) begin() time.Time {
	if since := g.since.Load(); since != nil {
		return *since
	}
	now := time.Now()
	g.since.CompareAndSwap(nil, &now)
	return *g.since.Load()
}

// forget releases all earlier generations.
func (g *generation) forget() {
	if before := g.before.Swap(nil); before != nil {
		before.forget()
		before.set.Release()
	}
}

// forgetAncient releases the generations beyond the last maxBefore.
func (g *generation) forgetAncient() {
	for range maxBefore {
		if g = g.before.Load(); g == nil {
			return
		}
	}
	g.forget()
}

// Use makes the dispatcher use a set for requests that are received from now on. Earlier requests
// finish on the previous set, so the dispatcher holds that for a while. The caller may close either
// set as soon as it no longer uses it itself. Use ignores a set that has been freed.
func (d *Dispatcher) Use(set *policyset.Set) {
	if !set.Acquire() {
		klog.Background().Error(nil,
			"A set of policies that has been freed cannot be used: keeping the previous one")
		return
	}
	next := newGeneration(set)
	d.using.Lock()
	defer d.using.Unlock()
	before := d.current.Load()
	next.first = before == nil
	next.before.Store(before)
	d.current.Store(next)
	next.begin()
	if before != nil {
		next.forgetAncient()
		time.AfterFunc(overlap, next.forget)
	}
}

// Close releases all sets. The dispatcher then admits every request, so call Close only after the
// last one.
func (d *Dispatcher) Close() {
	d.using.Lock()
	defer d.using.Unlock()
	if g := d.current.Swap(nil); g != nil {
		g.forget()
		g.set.Release()
	}
}
