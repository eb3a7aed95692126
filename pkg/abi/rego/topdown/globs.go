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

package topdown

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
)

// maxGlobSteps is how many tokens of two globs may be compared, and characters listed.
const maxGlobSteps = 10_000_000

// guardGlobs reckons with regex.globs_match trying each place of one glob for each token of
// the other that may repeat, again for each such token after it. A set of characters is a
// list of all of them there, however short its range is written.
func guardGlobs(operands []*ast.Term, _ *rego.BuiltinCall) error {
	if len(operands) != 2 {
		return nil
	}
	steps, longest, repeated := int64(1), int64(2), 0
	for _, operand := range operands {
		text, _ := operand.Value.(ast.String)
		repeated += strings.Count(string(text), "*") + strings.Count(string(text), "+")
		longest = max(longest, int64(len(text))+2)
		steps += listed([]rune(string(text)))
	}
	for range repeated + 1 {
		if steps *= longest; steps > maxGlobSteps {
			break
		}
	}
	return exceeds("steps to compare globs", steps, maxGlobSteps)
}

// listed returns how many characters the ranges of a glob may come to. A backslash may
// stand between the ends of a range and what they are.
func listed(glob []rune) (count int64) {
	for n, r := range glob {
		if r != '-' || n == 0 || n == len(glob)-1 {
			continue
		}
		from, to := glob[n-1], glob[n+1]
		if to == '\\' && n+2 < len(glob) {
			to = max(to, glob[n+2])
		}
		count += max(0, int64(to)-int64(from)+1)
	}
	return count
}
