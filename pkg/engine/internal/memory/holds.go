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

package memory

// Holds reports whether the memory equals the image in content and size.
func (r *Range) Holds(img *Image) bool {
	if r.usable() != nil || r.size != img.size {
		return false
	}
	touched, err := r.touched(img)
	if err != nil {
		return false
	}
	for _, s := range touched {
		if !img.equals(r.space.bytes(r.size), s.lo, s.hi) {
			return false
		}
	}
	return true
}
