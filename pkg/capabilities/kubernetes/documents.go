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
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Inventory returns the inventory of a policy that cannot make host calls: all objects of the kinds
// that it may read. It returns nil if the policy may read none.
func (k *Kubernetes) Inventory(caller *capabilities.Caller) abi.Inventory {
	if len(caller.Resources) == 0 {
		return nil
	}
	resources := slices.SortedFunc(slices.Values(caller.Resources),
		func(a, b abi.ContextAwareResource) int {
			return cmp.Or(cmp.Compare(a.APIVersion, b.APIVersion), cmp.Compare(a.Kind, b.Kind))
		})
	return &policyInventory{Kubernetes: k, caller: caller, resources: slices.Compact(resources)}
}

// policyInventory is the inventory of one policy.
type policyInventory struct {
	*Kubernetes
	caller    *capabilities.Caller
	resources []abi.ContextAwareResource
}

// Inventory implements [abi.Inventory].
func (i *policyInventory) Inventory(ctx context.Context,
	mode abi.ExecutionMode) ([]byte, uint64, error) {
	d, found, err := i.document(ctx, mode)
	if err != nil {
		i.options.Recorder.CountLook(inventory, string(failure(err)))
		return nil, 0, err
	}
	i.options.Recorder.CountLook(inventory, string(found))
	return d.bytes, d.generation, nil
}

func (i *policyInventory) document(ctx context.Context,
	mode abi.ExecutionMode) (*document, result, error) {
	write := map[abi.ExecutionMode]func([]part) ([]byte, error){
		abi.ExecutionModeOPA: opaDocument, abi.ExecutionModeGatekeeper: gatekeeperDocument,
	}[mode]
	if write == nil {
		return nil, "", fmt.Errorf("policies of execution mode %q have no inventory", mode)
	}
	parts := make([]part, len(i.resources))
	names := make([]string, len(i.resources))
	looked := resultCached
	for n, wanted := range i.resources {
		r, err := i.granted(ctx, i.caller, wanted.APIVersion, wanted.Kind)
		if err != nil {
			return nil, "", err
		}
		if err := i.decisions.authorize(ctx, access{verb: "list", resource: r}); err != nil {
			return nil, "", err
		}
		l, found, err := i.caches.list(ctx, i.caller.Policy, selection{resource: r}, nil)
		if err != nil {
			return nil, "", err
		}
		if found == resultAsked {
			looked = resultAsked
		}
		parts[n] = part{resource: r, list: l}
		names[n] = r.String()
	}
	d, err := i.documents.get(ctx, i.caller.Policy, documentKey{mode, strings.Join(names, ", ")},
		parts, write)
	return d, looked, err
}

// documents holds the inventories. Policies that may read the same kinds share one.
type documents struct {
	pool *pool

	mu         sync.Mutex
	made       map[documentKey]*documentSlot
	generation uint64
}

type documentKey struct {
	mode      abi.ExecutionMode
	resources string
}

// documentSlot holds the document for a mode and a set of kinds.
type documentSlot struct {
	occupant
	// turn holds one element while somebody reads or builds the document.
	turn chan struct{}
	*document
}

// document is an inventory with the lists it was built from.
type document struct {
	bytes      []byte
	generation uint64
	parts      []part
	cost       time.Duration
	// since is the time at which a change of a list was first noticed, or zero if there was none.
	since time.Time
}

// part is all objects of a kind.
type part struct {
	resource
	list *list
}

func newDocuments(p *pool) *documents {
	return &documents{pool: p, made: map[documentKey]*documentSlot{}}
}

// slot returns the slot of a document. If there is none, it creates one that the policy owns.
func (d *documents) slot(policy string, key documentKey) *documentSlot {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.made[key]
	if s == nil {
		s = &documentSlot{turn: make(chan struct{}, 1)}
		s.owner = policy
		s.end = func(stopReason) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.made[key] == s {
				delete(d.made, key)
			}
		}
		d.made[key] = s
	}
	return s
}

// get returns the document built from the lists. While the lists keep changing, it limits how often
// it rebuilds the document, at the same pace as the lists themselves.
func (d *documents) get(ctx context.Context, policy string, key documentKey, parts []part,
	write func([]part) ([]byte, error)) (*document, error) {
	s := d.slot(policy, key)
	s.touch(d.pool.clock.Now())
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, &abi.ShortageError{
			Err: fmt.Errorf("waiting for the inventory: %w", context.Cause(ctx)),
		}
	}
	now := d.pool.clock.Now()
	if s.document != nil && !s.outdated(parts, now) {
		return s.document, nil
	}
	bytes, err := write(parts)
	if err != nil {
		return nil, err
	}
	if err := d.fits(key, parts, bytes); err != nil {
		return nil, err
	}
	s.document = &document{
		bytes:      bytes,
		generation: d.next(),
		parts:      parts,
		cost:       d.pool.clock.Since(now),
	}
	d.pool.add(&s.occupant)
	d.pool.resize(&s.occupant, int64(cap(bytes)))
	return s.document, nil
}

// fits returns an error if memory cannot hold a document beside the lists it is built from.
func (d *documents) fits(key documentKey, parts []part, bytes []byte) error {
	size := int64(cap(bytes))
	for _, p := range parts {
		size += p.list.size()
	}
	if size > d.pool.limit {
		return &tooLargeError{what: "the inventory of " + key.resources, limit: d.pool.limit}
	}
	return nil
}

func (d *documents) next() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.generation++
	return d.generation
}

// outdated reports whether the document must be rebuilt from other lists now.
func (d *document) outdated(parts []part, now time.Time) bool {
	if slices.Equal(d.parts, parts) {
		return false
	}
	if d.since.IsZero() {
		d.since = now
	}
	return now.Sub(d.since) >= min(d.cost*pace, maxPause)
}
