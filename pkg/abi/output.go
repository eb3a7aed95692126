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

package abi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// These bounds apply to the audit annotations and warnings of one response. Each byte of a guest's
// answer could otherwise take about a hundred bytes of host memory, and no client receives that
// many entries.
const (
	maxAuditAnnotations = 128
	maxWarnings         = 128
)

// KeepAnnotations returns the annotations that a response may carry, and the number of those it
// dropped. It keeps the smallest keys, so that all replicas keep the same ones. Only the entries
// that it keeps are sorted.
func KeepAnnotations(all map[string]string) (kept map[string]string, omitted int) {
	if len(all) <= maxAuditAnnotations {
		return all, 0
	}
	var a annotations
	for key, value := range all {
		a.add(key, value)
	}
	return a.kept(), a.omitted
}

// annotations collects audit annotations while they are decoded, up to the bound.
type annotations struct {
	entries []annotation // sorted by key
	omitted int
}

type annotation struct{ key, value string }

func (a *annotations) add(key, value string) {
	n, found := slices.BinarySearchFunc(a.entries, key, func(e annotation, key string) int {
		return cmp.Compare(e.key, key)
	})
	switch {
	case found:
		a.entries[n].value = value
		return
	case n == maxAuditAnnotations:
		a.omitted++
		return
	case len(a.entries) == maxAuditAnnotations:
		a.entries = a.entries[:maxAuditAnnotations-1]
		a.omitted++
	}
	a.entries = slices.Insert(a.entries, n, annotation{key, value})
}

// kept returns the collected annotations, or nil if there are none.
func (a *annotations) kept() map[string]string {
	if len(a.entries) == 0 {
		return nil
	}
	kept := make(map[string]string, len(a.entries))
	for _, e := range a.entries {
		kept[e.key] = e.value
	}
	return kept
}

// UnmarshalJSON implements [json.Unmarshaler].
func (a *annotations) UnmarshalJSON(data []byte) error {
	return elements("audit_annotations", '{', data, func(decoder *json.Decoder) error {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		var value string
		if err := decoder.Decode(&value); err != nil {
			return fmt.Errorf("value of %.64q: %w", key, err)
		}
		a.add(key.(string), value) //nolint:forcetypeassert // keys in JSON are strings
		return nil
	})
}

// texts collects warnings while they are decoded. It keeps the first ones, up to the bound.
type texts struct {
	kept    []string
	omitted int
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *texts) UnmarshalJSON(data []byte) error {
	return elements("warnings", '[', data, func(decoder *json.Decoder) error {
		var text string
		if err := decoder.Decode(&text); err != nil {
			return fmt.Errorf("warning %d: %w", len(t.kept)+t.omitted, err)
		}
		if len(t.kept) == maxWarnings {
			t.omitted++
			return nil
		}
		t.kept = append(t.kept, text)
		return nil
	})
}

// elements calls a function for each element of an object or an array in turn. A null has no
// elements and is handled without a decoder, because most guests in Rust send nulls.
func elements(field string, begin json.Delim, data []byte,
	element func(*json.Decoder) error) error {
	if string(data) == "null" {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	switch first, err := decoder.Token(); {
	case err != nil:
		return fmt.Errorf("%s: %w", field, err)
	case first != begin:
		return fmt.Errorf("%s: cannot unmarshal a value that does not begin with %v", field, begin)
	}
	for decoder.More() {
		if err := element(decoder); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}
