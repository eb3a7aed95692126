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

package explain

import "strings"

// Nearest returns the known name that was probably meant by an unknown one: a name that differs
// only in case, or else the nearest one with at most two edits. It returns "" if there is none.
func Nearest(name string, known []string) (nearest string) {
	least := 3
	for _, candidate := range known {
		distance := EditDistance(name, candidate)
		if strings.EqualFold(name, candidate) {
			distance = 0
		}
		if distance < least && distance < len(candidate) {
			nearest, least = candidate, distance
		}
	}
	return nearest
}

// EditDistance is the Levenshtein distance of a and b in bytes.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
