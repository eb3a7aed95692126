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

// Package rawjson reads and changes JSON text without decoding it. So everything
// that a policy does not change stays the same byte for byte, and encoding/json,
// a third of a Go module, is not linked. The input should be JSON, because hosts
// send nothing else. In any other text, the package finds nothing.
package rawjson

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// Find returns the position of the value at a path of member
// names in an object, from its first byte to after its last.
func Find(text string, path ...string) (start, end int, found bool) {
	start = skipSpace(text, 0)
	for _, name := range path {
		if start, found = member(text, start, name); !found {
			return 0, 0, false
		}
	}
	end = skipValue(text, start)
	return start, end, end > start
}

// Get returns the text of a value, or "" if there is none.
func Get(text string, path ...string) string {
	start, end, found := Find(text, path...)
	if !found {
		return ""
	}
	return text[start:end]
}

// String returns a value that is a string.
func String(text string, path ...string) (value string, ok bool) {
	return unquote(Get(text, path...))
}

// Add returns an object with a member added to the object at a path. If the object
// at the path is missing or null, Add creates it, but its parent must exist.
func Add(text, name, value string, path ...string) string {
	member := Quote(name) + ":" + value
	start, end, found := Find(text, path...)
	switch {
	case !found && len(path) > 0:
		last := len(path) - 1
		return addFirst(text, Quote(path[last])+":{"+member+"}", path[:last])
	case found && text[start:end] == "null":
		return text[:start] + "{" + member + "}" + text[end:]
	}
	return addFirst(text, member, path)
}

// addFirst inserts a member before the others in the object at a path.
func addFirst(text, member string, path []string) string {
	start, _, found := Find(text, path...)
	if !found || text[start] != '{' {
		return text
	}
	comma := ","
	if next := skipSpace(text, start+1); next < len(text) && text[next] == '}' {
		comma = ""
	}
	return text[:start+1] + member + comma + text[start+1:]
}

// Quote returns a string as JSON.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			b.WriteString(`\u00`)
			b.WriteByte("0123456789abcdef"[r>>4])
			b.WriteByte("0123456789abcdef"[r&15])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// member returns the position of a member's value in the object at start.
func member(text string, start int, name string) (int, bool) {
	if start >= len(text) || text[start] != '{' {
		return 0, false
	}
	at := skipSpace(text, start+1)
	for at < len(text) && text[at] == '"' {
		end := skipValue(text, at)
		key, ok := unquote(text[at:end])
		at = skipSpace(text, end)
		if !ok || at >= len(text) || text[at] != ':' {
			return 0, false
		}
		at = skipSpace(text, at+1)
		if key == name {
			return at, true
		}
		at = skipSpace(text, skipValue(text, at))
		if at >= len(text) || text[at] != ',' {
			return 0, false
		}
		at = skipSpace(text, at+1)
	}
	return 0, false
}

func skipSpace(text string, at int) int {
	for at < len(text) && strings.IndexByte(" \t\r\n", text[at]) >= 0 {
		at++
	}
	return at
}

// skipValue returns the end of the value at start.
func skipValue(text string, start int) int {
	depth := 0
	for at := start; at < len(text); {
		switch text[at] {
		case '"':
			at = skipString(text, at)
		case '{', '[':
			depth++
			at++
		case '}', ']':
			if depth--; depth < 0 {
				return at
			}
			at++
		case ',', ' ', '\t', '\r', '\n', ':':
			if depth == 0 {
				return at
			}
			at++
			continue
		default: // a number, true, false or null
			at++
			continue
		}
		if depth == 0 {
			return at
		}
	}
	return len(text)
}

func skipString(text string, start int) int {
	for at := start + 1; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
}

func unquote(text string) (string, bool) {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	text = text[1 : len(text)-1]
	var b strings.Builder
	for at := 0; at < len(text); at++ {
		if text[at] != '\\' {
			b.WriteByte(text[at])
			continue
		}
		if at++; at == len(text) {
			return "", false
		}
		if n := strings.IndexByte(`"\/bfnrt`, text[at]); n >= 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[n])
			continue
		}
		r, size := unicodeEscape(text[at:])
		if size == 0 {
			return "", false
		}
		b.WriteRune(r)
		at += size - 1
	}
	return b.String(), true
}

// unicodeEscape reads "uXXXX", or a pair of them that is one character.
func unicodeEscape(text string) (r rune, size int) {
	first, ok := unit(text)
	if !ok {
		return 0, 0
	}
	if len(text) > 5 && text[5] == '\\' {
		if second, ok := unit(text[6:]); ok && utf16.IsSurrogate(first) {
			return utf16.DecodeRune(first, second), 11
		}
	}
	return first, 5
}

func unit(text string) (rune, bool) {
	if len(text) < 5 || text[0] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(text[1:5], 16, 16)
	return rune(n), err == nil
}
