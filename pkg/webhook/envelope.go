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

package webhook

import "bytes"

// envelope is an admission review without the objects in it, which are most of it. A decoder
// that is made for everything reads those three times, to find out that they are to be kept
// as they are.
type envelope struct {
	// rest is the review with null in the place of each object.
	rest []byte
	// object, oldObject and options are the request's, as they stand in the review.
	object, oldObject, options []byte
}

// open takes the objects out of a review. It is false for what is not quite as the apiserver
// writes it, which may be a review nevertheless: what is no JSON, has one of the fields twice
// or its name written with escapes, or nests deeper than objects do.
func open(review []byte) (e envelope, ok bool) {
	s := scanner{data: review}
	requests := 0
	after := s.object(s.space(0), 0, func(name []byte, at int) int {
		if string(name) != "request" || s.data[at] != '{' {
			return s.value(at, 1)
		}
		requests++
		return s.object(at, 1, func(name []byte, at int) int {
			end := s.value(at, 2)
			if end != invalid {
				s.cut(&e, name, at, end)
			}
			return end
		})
	})
	if after == invalid || s.space(after) != len(review) || requests != 1 || s.twice {
		return envelope{}, false
	}
	e.rest = append(s.rest, review[s.copied:]...)
	return e, true
}

// cut takes a value out if it is one of those that are.
func (s *scanner) cut(e *envelope, name []byte, at, end int) {
	var to *[]byte
	var seen *bool
	switch string(name) {
	case "object":
		to, seen = &e.object, &s.seen[0]
	case "oldObject":
		to, seen = &e.oldObject, &s.seen[1]
	case "options":
		to, seen = &e.options, &s.seen[2]
	default:
		return
	}
	s.twice = s.twice || *seen
	*seen = true
	if s.data[at] != '{' {
		return
	}
	*to = s.data[at:end:end]
	s.rest = append(append(s.rest, s.data[s.copied:at]...), "null"...)
	s.copied = end
}

// invalid is where something ends that is not valid.
const invalid = -1

// maxDepth is deeper than objects nest that the apiserver takes of clients in practice.
const maxDepth = 200

// scanner finds where values in JSON end. Positions are of their first byte, and of the one
// after their last.
type scanner struct {
	data   []byte
	rest   []byte
	copied int // how much of data is in rest
	seen   [3]bool
	twice  bool // one of those fields is there twice
}

// space returns where something stands that is none, from a position on.
func (s *scanner) space(at int) int {
	for at < len(s.data) && (s.data[at] == ' ' || s.data[at] == '\n' || s.data[at] == '\r' || s.data[at] == '\t') {
		at++
	}
	return at
}

// next returns whether a byte stands at a position or after space, and where it ends.
func (s *scanner) next(at int, b byte) (int, bool) {
	if at = s.space(at); at < len(s.data) && s.data[at] == b {
		return at + 1, true
	}
	return at, false
}

// value returns the end of a value, which may be in so many others.
func (s *scanner) value(at, depth int) int {
	if at >= len(s.data) || depth > maxDepth {
		return invalid
	}
	switch s.data[at] {
	case '{':
		return s.object(at, depth, nil)
	case '[':
		return s.list(at, depth)
	case '"':
		end, _ := s.text(at)
		return end
	case 't':
		return s.literal(at, "true")
	case 'f':
		return s.literal(at, "false")
	case 'n':
		return s.literal(at, "null")
	default:
		return s.number(at)
	}
}

func (s *scanner) literal(at int, text string) int {
	if !bytes.HasPrefix(s.data[at:], []byte(text)) {
		return invalid
	}
	return at + len(text)
}

// object returns the end of an object. Unless it is nil, member is called with the name and
// the position of each value, and returns the end of that.
func (s *scanner) object(at, depth int, member func(name []byte, at int) int) int {
	at, ok := s.next(at, '{')
	if !ok {
		return invalid
	}
	if end, ok := s.next(at, '}'); ok {
		return end
	}
	for {
		begin := s.space(at)
		end, plain := s.text(begin)
		if end == invalid || member != nil && !plain {
			return invalid
		}
		if at, ok = s.next(end, ':'); !ok {
			return invalid
		}
		if at = s.space(at); at == len(s.data) {
			return invalid
		}
		if member != nil {
			at = member(s.data[begin+1:end-1], at)
		} else {
			at = s.value(at, depth+1)
		}
		if at == invalid {
			return invalid
		}
		if end, ok := s.next(at, '}'); ok {
			return end
		}
		if at, ok = s.next(at, ','); !ok {
			return invalid
		}
	}
}

func (s *scanner) list(at, depth int) int {
	if end, ok := s.next(at+1, ']'); ok {
		return end
	}
	for {
		if at = s.value(s.space(at+1), depth+1); at == invalid {
			return invalid
		}
		if end, ok := s.next(at, ']'); ok {
			return end
		}
		end, ok := s.next(at, ',')
		if !ok {
			return invalid
		}
		at = end - 1
	}
}

// text returns the end of a string, and whether there is no escape in it.
func (s *scanner) text(at int) (end int, plain bool) {
	if at >= len(s.data) || s.data[at] != '"' {
		return invalid, false
	}
	plain = true
	for at++; at < len(s.data); at++ {
		switch b := s.data[at]; {
		case b == '"':
			return at + 1, plain
		case b < ' ':
			return invalid, false
		case b == '\\':
			plain = false
			if at = s.escape(at + 1); at == invalid {
				return invalid, false
			}
		}
	}
	return invalid, false
}

// escape returns the last position of an escape, which begins before the position given.
func (s *scanner) escape(at int) int {
	if at >= len(s.data) {
		return invalid
	}
	switch s.data[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at
	case 'u':
		if at+4 >= len(s.data) {
			return invalid
		}
		for _, b := range s.data[at+1 : at+5] {
			if (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'f') {
				return invalid
			}
		}
		return at + 4
	}
	return invalid
}

// number returns the end of a number.
func (s *scanner) number(at int) int {
	if s.data[at] == '-' {
		at++
	}
	begin := at
	at = s.digits(at)
	if at == begin || at > begin+1 && s.data[begin] == '0' {
		return invalid
	}
	if at < len(s.data) && s.data[at] == '.' {
		begin = at + 1
		if at = s.digits(begin); at == begin {
			return invalid
		}
	}
	if at < len(s.data) && s.data[at]|0x20 == 'e' {
		at++
		if at < len(s.data) && (s.data[at] == '+' || s.data[at] == '-') {
			at++
		}
		begin = at
		if at = s.digits(begin); at == begin {
			return invalid
		}
	}
	return at
}

func (s *scanner) digits(at int) int {
	for at < len(s.data) && s.data[at] >= '0' && s.data[at] <= '9' {
		at++
	}
	return at
}
