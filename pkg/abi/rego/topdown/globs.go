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

import "strings"

// priceGlobs prices regex.globs_match. It assumes that each repeatable token of one glob tries each
// position of the other glob, and does so again for each repeatable token after it.
// regex.globs_match lists every character of a set, even if its range is short to write.
func priceGlobs(c *priced) price {
	characters, longest, repeated := int64(1), int64(2), 0
	for n := range c.operands {
		text := c.text(n)
		repeated += strings.Count(text, "*") + strings.Count(text, "+")
		longest = max(longest, int64(len(text))+2)
		characters += listed([]rune(text))
	}
	steps := characters
	for range repeated + 1 {
		steps = times(steps, longest)
	}
	return price{work: times(steps, 500), memory: 50*c.bytes + 200*characters}
}

// listed returns the maximum number of characters in a glob's ranges. A backslash may stand before
// the end of a range.
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
