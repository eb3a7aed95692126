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

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// plain holds the ASCII characters that need no escape in a string.
var plain = func() (is [256]bool) {
	for b := byte(' '); b < utf8.RuneSelf; b++ {
		is[b] = b != '"' && b != '\\' && b != '<' && b != '>' && b != '&'
	}
	return is
}()

const hexDigits = "0123456789abcdef"

func (e *encoder) null() { e.out = append(e.out, "null"...) }

func (e *encoder) bool(b bool) { e.out = strconv.AppendBool(e.out, b) }

func (e *encoder) int(n int64) { e.out = strconv.AppendInt(e.out, n, 10) }

func (e *encoder) uint(n uint64) { e.out = strconv.AppendUint(e.out, n, 10) }

// float writes a number as JavaScript does. It cannot write NaN and infinities.
func (e *encoder) float(f float64, bits int) bool {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return false
	}
	abs := math.Abs(f)
	if abs == 0 || bits == 64 && abs >= 1e-6 && abs < 1e21 || bits == 32 && float32(abs) >= 1e-6 &&
		float32(abs) < 1e21 {
		e.out = strconv.AppendFloat(e.out, f, 'f', -1, bits)
		return true
	}
	e.out = strconv.AppendFloat(e.out, f, 'e', -1, bits)
	// Go writes at least two digits of an exponent, JavaScript one.
	if n := len(e.out); n >= 4 && string(e.out[n-4:n-1]) == "e-0" {
		e.out = append(e.out[:n-2], e.out[n-1])
	}
	return true
}

// key writes the name of entry n of an object.
func (e *encoder) key(n int, name string) {
	if n > 0 {
		e.out = append(e.out, ',')
	}
	e.text(name)
	e.out = append(e.out, ':')
}

// text writes a string. It escapes the characters that HTML would interpret, and replaces bytes
// that are not UTF-8 by U+FFFD.
func (e *encoder) text(s string) {
	e.out = append(e.out, '"')
	start := 0
	for n := 0; n < len(s); {
		b := s[n]
		if plain[b] {
			n++
			continue
		}
		if b < utf8.RuneSelf {
			e.out = append(e.out, s[start:n]...)
			e.escape(b)
			n++
			start = n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case r == utf8.RuneError && size == 1:
			e.out = append(e.out, s[start:n]...)
			e.out = append(e.out, replacement...)
			start = n + size
		case r == '\u2028' || r == '\u2029':
			e.out = append(e.out, s[start:n]...)
			e.out = append(e.out, `\u202`...)
			e.out = append(e.out, hexDigits[r&0xf])
			start = n + size
		}
		n += size
	}
	e.out = append(e.out, s[start:]...)
	e.out = append(e.out, '"')
}

// replacement is what encoding/json writes for a byte that is not valid UTF-8: an escape up to Go
// 1.26, and the replacement character itself since Go 1.27.
var replacement = invalidAsJSON()

func invalidAsJSON() string {
	text, _ := json.Marshal("\xff")
	return strings.Trim(string(text), `"`)
}

// escape writes an ASCII character that needs an escape.
func (e *encoder) escape(b byte) {
	switch b {
	case '\\', '"':
		e.out = append(e.out, '\\', b)
	case '\b':
		e.out = append(e.out, '\\', 'b')
	case '\f':
		e.out = append(e.out, '\\', 'f')
	case '\n':
		e.out = append(e.out, '\\', 'n')
	case '\r':
		e.out = append(e.out, '\\', 'r')
	case '\t':
		e.out = append(e.out, '\\', 't')
	default:
		e.out = append(e.out, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&0xf])
	}
}
