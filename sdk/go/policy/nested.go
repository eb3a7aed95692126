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

package policy

import (
	"fmt"
	"strings"
)

// NestedField returns a field of an object that was decoded into map[string]any. fields are the
// names on the path to it. The path cannot go through lists.
func NestedField(object map[string]any, fields ...string) (value any, found bool) {
	value = object
	for _, field := range fields {
		parent, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, found = parent[field]; !found {
			return nil, false
		}
	}
	return value, true
}

// SetNestedField sets a field of an object that was decoded into map[string]any. It creates objects
// on the path that are missing or null. If anything else is there, it returns an error that names
// it, and changes nothing. There must be at least one field.
func SetNestedField(object map[string]any, value any, fields ...string) error {
	last := len(fields) - 1
	for n, field := range fields[:last] {
		next, ok := object[field].(map[string]any)
		if !ok && object[field] != nil {
			return fmt.Errorf("%s: an object is expected, not %T", strings.Join(fields[:n+1], "."),
				object[field])
		}
		if next == nil {
			next = map[string]any{}
			object[field] = next
		}
		object = next
	}
	object[fields[last]] = value
	return nil
}
