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

// Package jsonscan finds values and members in JSON text without decoding it. The text around them
// keeps every byte. It accepts exactly what [encoding/json.Valid] accepts.
package jsonscan

// Invalid is the end of what is not valid JSON, or nests too deeply.
const Invalid = -1

// MaxDepth is how many objects and arrays encoding/json accepts within one another.
const MaxDepth = 10_000

// Scanner finds where values end. Positions are byte offsets into Data; an end is the position
// after the last byte. A scanner never panics, whatever Data is, and does not allocate. It is for
// one goroutine.
type Scanner struct {
	// Data is the JSON text.
	Data []byte
	// MaxDepth bounds how many objects and arrays may be within one another. The scanner takes
	// stack for each. It should be [MaxDepth] or less: decoders do not accept more.
	MaxDepth int

	loose bool
}

// Member is a member of an object in Data.
type Member struct {
	// Start is the position of the name's opening quote, Value that of the value, and End the end
	// of the value. A function that Object calls gets no End.
	Start, Value, End int
	// Name is the name as the text has it: without its quotes, but with its escapes.
	Name []byte
	// Escaped is whether Name has escapes.
	Escaped bool
}

// Loose reports whether the scanner has passed a space between values, or a character that
// [encoding/json.HTMLEscape] may escape. Otherwise what it has passed is what encoding/json writes
// for it.
func (s *Scanner) Loose() bool { return s.loose }

// Valid reports whether Data is one value, with or without space around it.
func (s *Scanner) Valid() bool {
	end := s.Value(s.Space(0), 0)
	return end != Invalid && s.Space(end) == len(s.Data)
}

// Space returns the first position from at on that holds no space.
func (s *Scanner) Space(at int) int {
	for at < len(s.Data) && s.Data[at] <= ' ' && isSpace(s.Data[at]) {
		s.loose = true
		at++
	}
	return at
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// Value returns the end of the value at a position, which is within depth objects and arrays, or
// [Invalid].
func (s *Scanner) Value(at, depth int) (end int) {
	if at >= len(s.Data) {
		return Invalid
	}
	switch s.Data[at] {
	case '{':
		return s.Object(at, depth, nil)
	case '[':
		return s.array(at, depth)
	case '"':
		end, _ = s.text(at)
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

// Object returns the end of the object at a position, which is within depth objects and arrays, or
// [Invalid] if the value there is not an object. It calls member for each member in order,
// duplicates included. Member returns the end of the value, or Invalid to stop. If member is nil,
// Object skips the values.
func (s *Scanner) Object(at, depth int, member func(Member) (end int)) (end int) {
	if at >= len(s.Data) || s.Data[at] != '{' || depth >= s.MaxDepth {
		return Invalid
	}
	if end, ok := s.next(at+1, '}'); ok {
		return end
	}
	for {
		start := s.Space(at + 1)
		nameEnd, escaped := s.text(start)
		if nameEnd == Invalid {
			return Invalid
		}
		value, ok := s.next(nameEnd, ':')
		if !ok {
			return Invalid
		}
		if value = s.Space(value); value == len(s.Data) {
			return Invalid
		}
		if member == nil {
			at = s.Value(value, depth+1)
		} else {
			at = member(Member{
				Start:   start,
				Value:   value,
				Name:    s.Data[start+1 : nameEnd-1],
				Escaped: escaped,
			})
		}
		if at == Invalid {
			return Invalid
		}
		if end, ok := s.next(at, '}'); ok {
			return end
		}
		if at = s.Space(at); at == len(s.Data) || s.Data[at] != ',' {
			return Invalid
		}
	}
}

// next reports whether a byte comes next, perhaps after space, and returns the position after it.
func (s *Scanner) next(at int, b byte) (after int, ok bool) {
	if at = s.Space(at); at < len(s.Data) && s.Data[at] == b {
		return at + 1, true
	}
	return at, false
}

func (s *Scanner) array(at, depth int) (end int) {
	if depth >= s.MaxDepth {
		return Invalid
	}
	if end, ok := s.next(at+1, ']'); ok {
		return end
	}
	for {
		if at = s.Value(s.Space(at+1), depth+1); at == Invalid {
			return Invalid
		}
		if end, ok := s.next(at, ']'); ok {
			return end
		}
		if at = s.Space(at); at == len(s.Data) || s.Data[at] != ',' {
			return Invalid
		}
	}
}

func (s *Scanner) literal(at int, word string) (end int) {
	if len(s.Data)-at < len(word) || string(s.Data[at:at+len(word)]) != word {
		return Invalid
	}
	return at + len(word)
}

// plain holds the bytes of strings that need no closer look. U+2028 and U+2029 begin with 0xe2.
var plain = func() (is [256]bool) {
	for b := range is {
		is[b] = b >= ' ' && b != '"' && b != '\\' && b != '<' && b != '>' && b != '&' && b != 0xe2
	}
	return is
}()

// text returns the end of a string, and whether it has escapes. It does not check whether the
// string is UTF-8; encoding/json does not either.
func (s *Scanner) text(at int) (end int, escaped bool) {
	if at >= len(s.Data) || s.Data[at] != '"' {
		return Invalid, false
	}
	for at++; at < len(s.Data); at++ {
		b := s.Data[at]
		if plain[b] {
			continue
		}
		switch {
		case b == '"':
			return at + 1, escaped
		case b == '\\':
			escaped = true
			if at = s.escape(at + 1); at == Invalid {
				return Invalid, false
			}
		case b < ' ':
			return Invalid, false
		default:
			s.loose = true
		}
	}
	return Invalid, false
}

// escape returns the last position of an escape whose backslash is before at.
func (s *Scanner) escape(at int) (last int) {
	if at >= len(s.Data) {
		return Invalid
	}
	switch s.Data[at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at
	case 'u':
		if at+4 >= len(s.Data) {
			return Invalid
		}
		for _, b := range s.Data[at+1 : at+5] {
			if (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'f') {
				return Invalid
			}
		}
		return at + 4
	}
	return Invalid
}

// number returns the end of a number.
func (s *Scanner) number(at int) (end int) {
	if s.Data[at] == '-' {
		at++
	}
	begin := at
	if at = s.digits(at); at == begin || at > begin+1 && s.Data[begin] == '0' {
		return Invalid
	}
	if at < len(s.Data) && s.Data[at] == '.' {
		begin = at + 1
		if at = s.digits(begin); at == begin {
			return Invalid
		}
	}
	if at < len(s.Data) && s.Data[at]|0x20 == 'e' {
		at++
		if at < len(s.Data) && (s.Data[at] == '+' || s.Data[at] == '-') {
			at++
		}
		begin = at
		if at = s.digits(begin); at == begin {
			return Invalid
		}
	}
	return at
}

func (s *Scanner) digits(at int) (end int) {
	for at < len(s.Data) && s.Data[at] >= '0' && s.Data[at] <= '9' {
		at++
	}
	return at
}
