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

// Change is what a response wants of the object. The set is closed.
type Change int

// The changes.
const (
	// Unchanged is the object as it is: there is none in the response, or it was handed back.
	Unchanged Change = iota
	// Changed is another object.
	Changed
	// Impossible is any object where the request has none: a DELETE has not.
	Impossible
)

// ChangeOf says what a response wants of the object, by the mutated object that it has. Both
// are in JSON, and nil if there is none. The mutated one, which may be anybody's, is compared
// as it stands: decoding it takes a multiple of its size.
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
