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

// How many of a response's audit annotations and warnings are kept. A guest may have a
// hundred bytes of the host's memory for each byte that it says in this way, and nobody is
// told of so many.
const (
	maxAuditAnnotations = 128
	maxWarnings         = 128
)

// KeepAnnotations returns those annotations that a response may have, and how many more
// there are: the ones with the smallest keys, so that all replicas keep the same. Their
// order costs what those cost that are kept.
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

// annotations are audit annotations that are being decoded, as many as are kept.
type annotations struct {
	entries []annotation // in the order of their keys
	omitted int
}

type annotation struct{ key, value string }

func (a *annotations) add(key, value string) {
	n, found := slices.BinarySearchFunc(a.entries, key, func(e annotation, key string) int { return cmp.Compare(e.key, key) })
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

// kept returns them; nil if there are none.
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

// texts are warnings that are being decoded: the first ones.
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

// elements calls a function for each element of an object or an array, one after another.
// Null has none, and takes no decoder: it is what most guests in Rust say.
func elements(field string, begin json.Delim, data []byte, element func(*json.Decoder) error) error {
	if string(data) == "null" {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	switch first, err := decoder.Token(); {
	case err != nil:
		return fmt.Errorf("%s: %w", field, err)
	case first != begin:
		return fmt.Errorf("%s: cannot unmarshal what does not begin with %v", field, begin)
	}
	for decoder.More() {
		if err := element(decoder); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}
