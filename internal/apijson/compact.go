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

package apijson

import "github.com/wasm-admission/wasm-admission/internal/jsonscan"

// compact writes JSON that a value has written itself, as encoding/json does: without space
// between values, and with the characters escaped that HTML would interpret. It reports whether the
// text is JSON.
func (e *encoder) compact(source []byte) bool {
	s := jsonscan.Scanner{Data: source, MaxDepth: maxDepth}
	if !s.Valid() {
		return false
	}
	if s.Loose() {
		e.tidy(source)
	} else {
		e.out = append(e.out, source...)
	}
	return true
}

// tidy writes valid JSON that has space or characters to escape. Source from start on is not
// written yet.
func (e *encoder) tidy(source []byte) {
	start := 0
	inString := false
	for at := 0; at < len(source); at++ {
		replaced := 1 // bytes
		b := source[at]
		switch {
		case inString && b == '\\':
			at++ // what is escaped does not end the string
			continue
		case b == '"':
			inString = !inString
			continue
		case !inString && (b == ' ' || b == '\t' || b == '\n' || b == '\r'):
			e.out = append(e.out, source[start:at]...)
		case b == '<' || b == '>' || b == '&':
			e.out = append(e.out, source[start:at]...)
			e.out = append(e.out, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
		case b == 0xe2 && at+2 < len(source) && source[at+1] == 0x80 && source[at+2]&^1 == 0xa8:
			// U+2028 and U+2029, which end a line in JavaScript.
			replaced = 3
			e.out = append(e.out, source[start:at]...)
			e.out = append(e.out, '\\', 'u', '2', '0', '2', hexDigits[source[at+2]&0xf])
		default:
			continue
		}
		at += replaced - 1
		start = at + 1
	}
	e.out = append(e.out, source[start:]...)
}
