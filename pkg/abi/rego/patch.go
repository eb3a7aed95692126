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
)

// Bounds of a patch. The first is what the apiserver allows; copies can double an object
// each, so that what comes of each is looked at.
const (
	maxPatchOperations = 10_000
	maxPatchCopies     = 100
)

// patchObject applies a JSON patch (RFC 6902) to a request's object, which becomes at most
// limit bytes long, and returns nil if the patch is empty.
func patchObject(request, patch []byte, limit int64) (patched json.RawMessage, err error) {
	defer func() {
		// A library that was written for patches from friends.
		if r := recover(); r != nil {
			patched, err = nil, fmt.Errorf("patch: panic: %v", r)
		}
	}()
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	if len(operations) > maxPatchOperations {
		return nil, fmt.Errorf("patch: %d operations, at most %d are allowed", len(operations), maxPatchOperations)
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
		// The dispatcher refuses to change what is not there, whatever it is changed to.
		return json.RawMessage(`{}`), nil
	}
	return apply(r.Object, operations, limit)
}

// apply applies the operations up to each copy at once.
func apply(object []byte, operations jsonpatch.Patch, limit int64) (json.RawMessage, error) {
	copies := 0
	for len(operations) > 0 {
		n := 0
		for n < len(operations) && operations[n].Kind() != "copy" {
			n++
		}
		if n < len(operations) {
			n++
			copies++
		}
		if copies > maxPatchCopies {
			return nil, fmt.Errorf("patch: more than %d copies", maxPatchCopies)
		}
		var err error
		if object, err = operations[:n].Apply(object); err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		if int64(len(object)) > limit {
			return nil, fmt.Errorf("patch: the object becomes %d bytes long, at most %d are allowed", len(object), limit)
		}
		operations = operations[n:]
	}
	if !json.Valid(object) {
		return nil, errors.New("patch: what it makes of the object is no JSON")
	}
	return object, nil
}
