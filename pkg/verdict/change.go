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

package verdict

import "github.com/wasm-admission/wasm-admission/internal/jsonpatch"

// Change says how a response changes the object. The set is closed.
type Change int

// The kinds of change.
const (
	// Unchanged means that the response has no object, or returns it unchanged.
	Unchanged Change = iota
	// Changed means that the response has a different object.
	Changed
	// Impossible means that the response has an object although the request has none, as with
	// DELETE.
	Impossible
)

// ChangeOf returns how the mutated object in a response changes the object of the request. Both are
// in JSON, and nil if there is none. ChangeOf compares the JSON of the mutated object without
// decoding it, which would take a multiple of its size. It may come from an attacker.
func ChangeOf(object, mutated []byte) Change {
	switch {
	case mutated == nil:
		return Unchanged
	case len(object) == 0 || string(object) == "null":
		return Impossible
	case jsonpatch.Same(object, mutated):
		return Unchanged
	}
	return Changed
}
