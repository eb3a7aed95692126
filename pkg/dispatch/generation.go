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

// The generations before the current one stay for requests that came before it.
const (
	// overlap is how long: longer than the apiserver lets a request take by default. A
	// request that takes longer is refused, as are those that connect to something and
	// have no end.
	overlap = 70 * time.Second
	// maxBefore is how many, if sets are exchanged in quick succession.
	maxBefore = 16
)

// generation is a set of policies in use, with its indexes.
//
// A request goes through admission in two phases, of which the second does not know of
// the first. Both have to find the same set: a policy that became a mutating one in
// between would otherwise be evaluated in neither, and a request could be mutated by one
// set and validated by another. So a request belongs to the generation that was current
// when the apiserver received it, which is found out without keeping anything: requests
// carry the time. The boundary is drawn by whoever looks at a generation first, once it
// is published; see begin. A request whose generation has been given up is refused: what
// it was asked in its first phase is not known any more.
type generation struct {
	set        *policyset.Set
	mutating   *index
	validating *index
	// since is when the generation began; nil until somebody looked.
	since atomic.Pointer[time.Time]
	// first is whether there was no generation before, so that this one is for all
	// requests that came earlier, too.
	first bool
	// before is the generation for requests that came earlier; nil if there is none, or
	// once it has been given up.
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

// index returns the index of the policies that are evaluated in a phase.
func (g *generation) index(phase phase) *index {
	if phase == admit {
		return g.mutating
	}
	return g.validating
}

// of returns the generation that a request belongs to: g or an earlier one, or nil if
// that has been given up. Who does not say when the request was received gets the
// current one.
func (g *generation) of(ctx context.Context) *generation {
	received, known := apirequest.ReceivedTimestampFrom(ctx)
	for g != nil && known && !g.first && !received.After(g.begin()) {
		g = g.before.Load()
	}
	return g
}

// errGivenUp is what a request is refused with whose generation has been given up.
func errGivenUp() error {
	return apierrors.NewTimeoutError(
		"the policies changed while the request was under way, which took so long that those it began with are gone: send it again",
		1)
}

// begin returns when the generation began. The first call decides it, for all: what a
// request's time is compared with never changes, so both of its phases come to the same
// result. A request that has not seen this generation came before anybody could call
// this, and one that came after a call sees it.
func (g *generation) begin() time.Time {
	if since := g.since.Load(); since != nil {
		return *since
	}
	now := time.Now()
	g.since.CompareAndSwap(nil, &now)
	return *g.since.Load()
}

// forget lets go of all earlier generations.
func (g *generation) forget() {
	if before := g.before.Swap(nil); before != nil {
		before.forget()
		before.set.Release()
	}
}

// forgetAncient lets go of generations of which too many came after.
func (g *generation) forgetAncient() {
	for range maxBefore {
		if g = g.before.Load(); g == nil {
			return
		}
	}
	g.forget()
}

// Use makes the dispatcher use a set for requests that are received from now on.
// Requests that were received earlier finish on the set before, and so the dispatcher
// holds on to that for a while. The caller may close either set as soon as it is done
// with it itself. A set that has been freed is not used.
func (d *Dispatcher) Use(set *policyset.Set) {
	if !set.Acquire() {
		klog.Background().Error(nil,
			"A set of policies that has been freed cannot be used: keeping the one before")
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

// Close lets go of all sets. Requests are admitted from then on, so nobody calls it
// while there are any.
func (d *Dispatcher) Close() {
	d.using.Lock()
	defer d.using.Unlock()
	if g := d.current.Swap(nil); g != nil {
		g.forget()
		g.set.Release()
	}
}
