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
	"iter"
	"math/bits"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
)

// bitset is a set of positions in index.hooks. nil is the empty set.
type bitset []uint64

func (b bitset) add(n int) { b[n/64] |= 1 << (n % 64) }

// union returns a set with the members of both. The result may be one of the two, because sets in
// an index never change.
func (b bitset) union(other bitset) bitset {
	if b == nil || other == nil {
		return append(b, other...)
	}
	sum := make(bitset, len(b))
	for i := range b {
		sum[i] = b[i] | other[i]
	}
	return sum
}

// all yields the members in ascending order.
func (b bitset) all() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(i*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// operations are the operations that admission plugins see. An index entry has a set for each.
var operations = []admission.Operation{
	admission.Create, admission.Update, admission.Delete, admission.Connect,
}

func operationNumber(operation admission.Operation) int {
	for n := range operations {
		if operations[n] == operation {
			return n
		}
	}
	return -1
}

// index finds the policies that a request may match. It is immutable.
type index struct {
	hooks []*hook
	// entries are keyed by group and resource, without subresource. Either may be the wildcard.
	entries map[schema.GroupResource]*[4]bitset
	// shapes says which shapes the keys have; see shapeOf. Most policies name what they match, and
	// a request then takes one lookup.
	shapes [4]bool
	// equivalent is set if any policy also matches equivalent resources.
	equivalent bool
}

const wildcard = "*"

func newIndex(hooks []*hook) *index {
	x := &index{hooks: hooks, entries: map[schema.GroupResource]*[4]bitset{}}
	for n, h := range hooks {
		if *h.accessor.GetMatchPolicy() == admissionregistrationv1.Equivalent {
			x.equivalent = true
		}
		for _, rule := range h.accessor.GetRules() {
			x.add(n, &rule)
		}
	}
	return x
}

// add adds the hook at position n for everything that one of its rules names.
func (x *index) add(n int, rule *admissionregistrationv1.RuleWithOperations) {
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			resource, _, _ = strings.Cut(resource, "/")
			key := schema.GroupResource{Group: group, Resource: resource}
			if x.entries[key] == nil {
				x.entries[key] = &[4]bitset{}
			}
			x.shapes[shapeOf(key)] = true
			for _, wanted := range rule.Operations {
				for k, operation := range operations {
					if wanted != admissionregistrationv1.OperationAll &&
						string(wanted) != string(operation) {
						continue
					}
					set := &x.entries[key][k]
					if *set == nil {
						*set = make(bitset, (len(x.hooks)+63)/64)
					}
					set.add(n)
				}
			}
		}
	}
}

// lookup returns the positions of the hooks that may match a request, or nil. It does not allocate
// if there are none.
func (x *index) lookup(attr admission.Attributes, o admission.ObjectInterfaces) bitset {
	operation := operationNumber(attr.GetOperation())
	if len(x.entries) == 0 || operation < 0 {
		return nil
	}
	resource := attr.GetResource()
	found := x.find(resource.GroupResource(), operation)
	if !x.equivalent {
		return found
	}
	// The mapper is asked every time, because equivalent resources change as custom resource
	// definitions come and go.
	last := resource.GroupResource()
	for _, other := range o.GetEquivalentResourceMapper().EquivalentResourcesFor(resource,
		attr.GetSubresource()) {
		if gr := other.GroupResource(); gr != last && gr != resource.GroupResource() {
			found = found.union(x.find(gr, operation))
			last = gr
		}
	}
	return found
}

func (x *index) find(gr schema.GroupResource, operation int) (found bitset) {
	for n, key := range shapesOf(gr) {
		if !x.shapes[n] {
			continue
		}
		if entry := x.entries[key]; entry != nil && entry[operation] != nil {
			found = found.union(entry[operation])
		}
	}
	return found
}

// shapeOf returns the number of a key's shape: the sum of 1 if the resource is the wildcard, and 2
// if the group is.
func shapeOf(key schema.GroupResource) (shape int) {
	if key.Resource == wildcard {
		shape |= 1
	}
	if key.Group == wildcard {
		shape |= 2
	}
	return shape
}

// shapesOf returns the keys under which a resource may be found, by their shapes.
func shapesOf(gr schema.GroupResource) [4]schema.GroupResource {
	return [...]schema.GroupResource{
		gr,
		{Group: gr.Group, Resource: wildcard},
		{Group: wildcard, Resource: gr.Resource},
		{Group: wildcard, Resource: wildcard},
	}
}
