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

package rego

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The bounds of a patch. The apiserver allows as many operations. Each copy can double the object,
// so the size is checked after each copy.
const (
	maxPatchOperations = 10_000
	maxPatchCopies     = 100
)

// Each operation may move all elements of an array, or read a whole object. The work bound is
// therefore a product: operations times the bytes of object and patch. It allows about 130
// operations on an object of 1 MiB, and 2,500 on a small one. Each step does at most a quarter of
// the work, and the evaluation's deadline is checked between steps. A step also reads and writes
// the object, which counts as stepOperations operations. Objects with very many parts are refused
// unread.
const (
	maxPatchWork   = 1 << 28
	maxStepWork    = maxPatchWork / 4
	stepOperations = 64
)

// patcher applies a JSON patch (RFC 6902) to a request's object.
type patcher struct {
	// limit is the maximum size of the object after each step, in bytes. left is the work that
	// remains for the operations.
	limit, left int64
	copies      int
	// goOn returns an error once the evaluation's time is up.
	goOn func() error
}

// patchObject applies a JSON patch to a request's object. It returns nil for an empty patch.
func (p *patcher) patchObject(request, patch []byte) (patched json.RawMessage, err error) {
	defer func() {
		// The patch library does not expect hostile patches.
		if r := recover(); r != nil {
			patched, err = nil, fmt.Errorf("patch: panic: %v", r)
		}
	}()
	if err := checkParts("a patch", patch); err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	if len(operations) > maxPatchOperations {
		return nil, fmt.Errorf("patch: %d operations, at most %d are allowed", len(operations),
			maxPatchOperations)
	}
	if len(operations) == 0 {
		return nil, nil
	}
	var r struct {
		Object json.RawMessage `json:"object"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(request, &r); err != nil {
		return nil, fmt.Errorf("patch: reading the request: %w", err)
	}
	if len(r.Object) == 0 || string(r.Object) == "null" {
		// Without an object there is nothing to patch, and the dispatcher refuses any result.
		return json.RawMessage(`{}`), nil
	}
	return p.apply(r.Object, operations, int64(len(patch)))
}

// apply applies the operations step by step. Operations may also move the values in the patch, so
// patchBytes adds to the work of each.
func (p *patcher) apply(object []byte, operations jsonpatch.Patch,
	patchBytes int64) (json.RawMessage, error) {
	for len(operations) > 0 {
		if err := p.goOn(); err != nil {
			return nil, err
		}
		if err := checkParts("an object", object); err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		size := int64(len(object)) + patchBytes
		n, err := p.step(operations, size)
		if err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		if object, err = operations[:n].Apply(object); err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		if int64(len(object)) > p.limit {
			return nil, fmt.Errorf(
				"patch: the object becomes %d bytes long, at most %d are allowed",
				len(object), p.limit)
		}
		operations = operations[n:]
	}
	if !json.Valid(object) {
		return nil, errors.New("patch: the patched object is not valid JSON")
	}
	return object, nil
}

// step returns the number of operations in the next step. A step ends after a copy, or when its
// work for an object of this size would be too much. step charges for the work.
func (p *patcher) step(operations jsonpatch.Patch, size int64) (int, error) {
	most := max(1, min(len(operations), int(maxStepWork/max(1, size))))
	n := 0
	for n < most {
		n++
		if operations[n-1].Kind() == "copy" {
			p.copies++
			break
		}
	}
	if p.copies > maxPatchCopies {
		return 0, fmt.Errorf("more than %d copies", maxPatchCopies)
	}
	p.left -= (int64(n) + stepOperations) * size
	if p.left < 0 {
		return 0, &engine.LimitError{
			Limit: "operations by bytes of object and patch",
			Value: maxPatchWork - p.left,
			Max:   maxPatchWork,
		}
	}
	return n, nil
}
