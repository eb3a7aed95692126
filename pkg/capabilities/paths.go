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

package capabilities

import (
	"maps"
	"slices"
)

// Paths returns the sorted paths of all host capabilities that a grant can name.
func Paths() []string { return leaves("", tree) }

func leaves(prefix string, of group) (paths []string) {
	for _, segment := range slices.Sorted(maps.Keys(of)) {
		if below := of[segment]; below != nil {
			paths = append(paths, leaves(prefix+segment+"/", below)...)
		} else {
			paths = append(paths, prefix+segment)
		}
	}
	return paths
}
