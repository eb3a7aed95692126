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

// Package jsonmember finds members of JSON objects, takes them out and puts them in, without
// decoding what is around them: that stays what it is, to the byte.
package jsonmember

import (
	"bytes"
	"encoding/json"
)

// Member is where a member of an object is in a text: from its name to the end of its value.
type Member struct{ Start, Value, End int }

// Find returns where the member is that names lead to, the outermost first. Data has to be
// valid JSON; of anything else it may find anything, and never panics. A name that an object
// has twice is not found: decoders do not agree on what that means.
func Find(data []byte, names ...string) (m Member, found bool) {
	m, times := follow(data, names)
	return m, times == 1
}

// Twice is whether an object has a name twice that is on the way that names lead.
func Twice(data []byte, names ...string) bool {
	_, times := follow(data, names)
	return times > 1
}

// follow goes where names lead, as long as each is there once. It returns the member of the
// last name looked for, and how many times that is there.
func follow(data []byte, names []string) (m Member, times int) {
	m = Member{End: len(data)}
	for _, name := range names {
		if m, times = find(data, m.Value, m.End, name); times != 1 {
			return Member{}, times
		}
	}
	return m, times
}

// find returns the first member of a name in the object between start and end, and how many
// there are.
func find(data []byte, start, end int, name string) (m Member, times int) {
	at := space(data, start)
	if at >= end || data[at] != '{' {
		return Member{}, 0
	}
	at++
	for {
		for at = space(data, at); at < end && data[at] == ','; {
			at = space(data, at+1)
		}
		if at >= end || data[at] != '"' {
			return m, times
		}
		begin := at
		at = skip(data, at)
		same := is(data[begin:at], name)
		if at = space(data, at); at >= end || data[at] != ':' {
			return Member{}, 0
		}
		value := space(data, at+1)
		if at = skip(data, value); at == value {
			return Member{}, 0
		}
		if !same {
			continue
		}
		if times++; times == 1 {
			m = Member{begin, value, at}
		}
	}
}

// is compares a name, in quotes, with another.
func is(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return len(quoted) == len(name)+2 && string(quoted[1:len(quoted)-1]) == name
	}
	var text string
	return json.Unmarshal(quoted, &text) == nil && text == name
}

func space(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\t' || data[at] == '\n' || data[at] == '\r') {
		at++
	}
	return at
}

// skip returns where the value ends that begins at an index.
func skip(data []byte, at int) int {
	depth := 0
	for at < len(data) {
		switch data[at] {
		case '"':
			at = skipText(data, at)
		case '{', '[':
			depth++
			at++
			continue
		case '}', ']':
			if depth == 0 {
				return at
			}
			depth--
			at++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return at
			}
			at++
			continue
		default: // of a number or a word
			at++
			if depth == 0 {
				continue
			}
		}
		if depth == 0 {
			return at
		}
	}
	return at
}

// skipText returns where the string ends that begins at an index.
func skipText(data []byte, at int) int {
	for at++; at < len(data); at++ {
		switch data[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(data)
}

// AppendWithout appends data to dst without a member, and without one of the commas around
// it.
func AppendWithout(dst, data []byte, m Member) []byte {
	start, end := m.Start, m.End
	if next := space(data, end); next < len(data) && data[next] == ',' {
		end = next + 1
	} else {
		before := start
		for before > 0 && (data[before-1] == ' ' || data[before-1] == '\t' || data[before-1] == '\n' || data[before-1] == '\r') {
			before--
		}
		if before > 0 && data[before-1] == ',' {
			start = before - 1
		}
	}
	dst = append(dst, data[:start]...)
	return append(dst, data[end:]...)
}

// Insert returns a copy of data in which the object that is the value of a member has one more
// member, its first. It is false if that value is no object.
func Insert(data []byte, into Member, name string, value []byte) (with []byte, ok bool) {
	if into.Value >= len(data) || data[into.Value] != '{' {
		return nil, false
	}
	at := into.Value + 1
	with = make([]byte, 0, len(data)+len(name)+len(value)+len(`"":,`))
	with = append(with, data[:at]...)
	with = append(with, '"')
	with = append(with, name...)
	with = append(with, '"', ':')
	with = append(with, value...)
	if next := space(data, at); next < len(data) && data[next] != '}' {
		with = append(with, ',')
	}
	return append(with, data[at:]...), true
}
