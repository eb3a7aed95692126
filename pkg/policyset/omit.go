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

package policyset

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/wasm-admission/wasm-admission/internal/jsonscan"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// omitted returns the fields to omit for a policy: those for all policies and its own.
func omitted(config *wasmadmission.WasmAdmissionConfiguration,
	spec *wasmadmission.Policy) []wasmadmission.OmittedField {
	all := slices.Concat(config.Review.Omit, spec.Review.Omit)
	slices.Sort(all)
	return slices.Compact(all)
}

// shortened are buffers for requests with omitted fields.
var shortened = sync.Pool{New: func() any { return new([2][]byte) }}

// maxShortened is the size of the largest buffer to keep.
const maxShortened = 128 << 10

// evaluateWithout evaluates a policy that does not get all fields of the objects. It puts the
// omitted fields back into the object that the policy returns, so that the caller need not know.
func (g *guest) evaluateWithout(ctx context.Context,
	request []byte) (*abi.ValidationResponse, abi.Usage, error) {
	buffers := shortened.Get().(*[2][]byte) //nolint:forcetypeassert // nothing else is in it
	short, left := g.shorten(buffers, request)
	response, usage, err := g.module.Validate(ctx, g.env, short, g.settings)
	if err == nil && response.MutatedObject != nil {
		if err = g.giveBack(response, left); err != nil {
			response = nil
		}
	}
	// After a panic, the buffers are not reused, because the guest may still have them.
	for n := range buffers {
		if cap(buffers[n]) > maxShortened {
			buffers[n] = nil
		}
	}
	shortened.Put(buffers)
	return response, usage, err
}

// shorten returns the request without the omitted fields, in one of the buffers. left are the
// values of these fields in the object, or nil for those that it does not have.
func (g *guest) shorten(buffers *[2][]byte, request []byte) (short []byte, left [][]byte) {
	short = request
	left = make([][]byte, len(g.omits))
	next := 0
	for n, name := range g.omits {
		for _, object := range []string{"object", "oldObject"} {
			m, found := jsonscan.Find(short, object, "metadata", string(name))
			if !found {
				continue
			}
			if object == "object" {
				left[n] = bytes.Clone(short[m.Value:m.End])
			}
			buffers[next] = jsonscan.AppendWithout(buffers[next][:0], short, m)
			short, next = buffers[next], 1-next
		}
	}
	return short, left
}

// giveBack puts the omitted fields back into the object that the policy returned. A policy must not
// set them, because it cannot know what it would replace.
func (g *guest) giveBack(response *abi.ValidationResponse, left [][]byte) error {
	wanted := response.MutatedObject
	for n, name := range g.omits {
		if jsonscan.Twice(wanted, "metadata", string(name)) {
			return fmt.Errorf(
				"mutated object: has metadata or metadata.%s twice, and review.omit keeps the latter from the policy: have it leave the field alone",
				name)
		}
		if m, found := jsonscan.Find(wanted, "metadata", string(name)); found {
			if string(wanted[m.Value:m.End]) != "null" {
				return fmt.Errorf(
					"mutated object: sets metadata.%s, which review.omit keeps from the policy: remove it there, or have the policy leave the field alone",
					name)
			}
			wanted = jsonscan.AppendWithout(nil, wanted, m)
		}
		if left[n] == nil {
			continue
		}
		metadata, found := jsonscan.Find(wanted, "metadata")
		if found {
			wanted, found = jsonscan.Insert(wanted, metadata, string(name), left[n])
		}
		if !found {
			return fmt.Errorf(
				"mutated object: has no metadata to put metadata.%s back into, which review.omit keeps from the policy",
				name)
		}
		// The patch describes an object without these fields.
		response.Patch = nil
	}
	response.MutatedObject = wanted
	return nil
}
