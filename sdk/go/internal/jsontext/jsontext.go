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

// Package jsontext finds the members of a JSON object without decoding their values. A review
// contains a large object of which a policy needs little, and encoding/json would read all of it
// twice to skip it.
//
// The package trusts the text that it skips to be JSON, because hosts send nothing else. The parts
// that a policy needs are read as what they must be, most of them by encoding/json.
package jsontext

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
)

var errUnexpectedEnd = errors.New("unexpected end of JSON input")

// Members calls a function for each member of the object in text, with the member's name and the
// text of its value. The function must not keep the name, which may be a part of text.
func Members(text []byte, member func(name, value []byte) error) error {
	return whole(text, func() (int, error) {
		return Walk(text, 0, func(name []byte, at int) (end int, err error) {
			if end, err = Skip(text, at); err != nil {
				return 0, err
			}
			return end, member(name, text[at:end])
		})
	})
}

// Elements calls a function for the text of each element of the array in text.
func Elements(text []byte, element func(value []byte) error) error {
	return whole(text, func() (int, error) {
		return each(text, 0, '[', ']', func(at int) (end int, err error) {
			if end, err = Skip(text, at); err != nil {
				return 0, err
			}
			return end, element(text[at:end])
		})
	})
}

// Walk reads the object that begins at a position and returns its end. It calls a function for each
// member, with its name and the position of its value. The function must read the value and return
// its end, and must not keep the name.
func Walk(text []byte, at int,
	member func(name []byte, at int) (end int, err error)) (end int, err error) {
	return each(text, at, '{', '}', func(at int) (int, error) {
		end, err := Skip(text, at)
		if err != nil {
			return 0, err
		}
		name, err := content(text[at:end])
		if err != nil {
			return 0, fmt.Errorf("the name of a member: %w", err)
		}
		if at = skipSpace(text, end); at == len(text) || text[at] != ':' {
			return 0, unexpected(text, at)
		}
		return member(name, skipSpace(text, at+1))
	})
}

// each reads a bracketed list that begins at a position, and returns its end. It calls a function
// for each part with its position. The function must return the end of the part.
func each(text []byte, at int, opening, closing byte,
	part func(at int) (end int, err error)) (int, error) {
	at = skipSpace(text, at)
	if at == len(text) || text[at] != opening {
		return 0, unexpected(text, at)
	}
	at = skipSpace(text, at+1)
	if at < len(text) && text[at] == closing {
		return at + 1, nil
	}
	for {
		end, err := part(at)
		if err != nil {
			return 0, err
		}
		at = skipSpace(text, end)
		switch {
		case at < len(text) && text[at] == closing:
			return at + 1, nil
		case at == len(text) || text[at] != ',':
			return 0, unexpected(text, at)
		}
		at = skipSpace(text, at+1)
	}
}

// whole returns an error if anything follows the part that read reads.
func whole(text []byte, read func() (end int, err error)) error {
	end, err := read()
	if err != nil {
		return err
	}
	return AtEnd(text, end)
}

// AtEnd returns an error if anything but space follows a position.
func AtEnd(text []byte, at int) error {
	if at = skipSpace(text, at); at < len(text) {
		return unexpected(text, at)
	}
	return nil
}

func unexpected(text []byte, at int) error {
	if at >= len(text) {
		return errUnexpectedEnd
	}
	return fmt.Errorf("unexpected %q at byte %d", text[at], at)
}

// String returns the string in text. null is "".
func String(text []byte) (string, error) {
	b, err := content(text)
	return string(b), err
}

// content returns the content of the string in text, without a copy if nothing is escaped.
func content(text []byte) ([]byte, error) {
	plain := len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"'
	for _, c := range text {
		if c == '\\' || c < ' ' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return text[1 : len(text)-1], nil
	}
	var s string
	err := json.Unmarshal(text, &s)
	return []byte(s), err
}

// Strings returns the array of strings in text. null is nil.
func Strings(text []byte) (list []string, err error) {
	if IsNull(text) {
		return nil, nil
	}
	list = []string{}
	err = Elements(text, func(value []byte) error {
		s, err := String(value)
		list = append(list, s)
		return err
	})
	return list, err
}

// StringMap returns the object in text, whose values are strings. null is nil.
func StringMap(text []byte) (map[string]string, error) {
	if IsNull(text) {
		return nil, nil
	}
	all := map[string]string{}
	return all, Members(text, func(name, value []byte) (err error) {
		all[string(name)], err = String(value)
		return err
	})
}

// Bool returns the boolean in text. null is false.
func Bool(text []byte) (bool, error) {
	switch string(text) {
	case "true":
		return true, nil
	case "false", "null":
		return false, nil
	}
	return false, fmt.Errorf("%.20q is not a boolean", text)
}

// IsNull reports whether text is null or empty.
func IsNull(text []byte) bool { return len(text) == 0 || string(text) == "null" }

// Decode decodes one JSON value. In types such as map[string]any, numbers keep their text, because
// a float64 cannot hold large integers. Other types are decoded by encoding/json alone, which is
// faster.
func Decode(text []byte, into any) error {
	switch into.(type) {
	case *any, *[]any, *map[string]any:
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		return decodeWhole(decoder, text, into)
	}
	return json.Unmarshal(text, into)
}

// DecodeStrictly decodes one JSON value. A member for which a type has no field is an error.
// Numbers in an any keep their text.
func DecodeStrictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	decoder.DisallowUnknownFields()
	return decodeWhole(decoder, text, into)
}

func decodeWhole(decoder *json.Decoder, text []byte, into any) error {
	if err := decoder.Decode(into); err != nil {
		return err
	}
	return AtEnd(text, int(decoder.InputOffset()))
}

func skipSpace(text []byte, at int) int {
	for at < len(text) &&
		(text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

// Skip returns the end of the value that begins at a position.
func Skip(text []byte, at int) (end int, err error) {
	if at >= len(text) {
		return 0, errUnexpectedEnd
	}
	switch text[at] {
	case '"':
		end = skipString(text, at)
	case '{', '[':
		end = skipBrackets(text, at)
	default:
		if end = skipScalar(text, at); end == at {
			return 0, unexpected(text, at)
		}
	}
	if end > len(text) {
		return 0, errUnexpectedEnd
	}
	return end, nil
}

// skipScalar returns the end of the number, boolean or null at a position.
func skipScalar(text []byte, at int) int {
	for ; at < len(text); at++ {
		switch text[at] {
		case ',', ':', ']', '}', '{', '[', '"', ' ', '\n', '\r', '\t':
			return at
		}
	}
	return at
}

// Go's WebAssembly is slow at calls and at jumps, and a loop over bytes is full of jumps. The
// following functions look at eight bytes at a time.
const (
	// ones times a byte is eight of that byte. highs are the highest bits of eight bytes.
	ones, highs = 0x0101010101010101, 0x8080808080808080
	eight       = 8
)

// zeros returns the highest bit of each of eight bytes that is zero.
func zeros(word uint64) uint64 { return ^(word&^highs + ^uint64(highs) | word) & highs }

// skipBrackets returns the end of the object or array at a position, or more than the length of
// text if there is none.
func skipBrackets(text []byte, at int) int {
	depth := 0
	quoted := uint64(0) // highs within a string
	for at < len(text) {
		rest := text[at:]
		for len(rest) >= eight {
			word := binary.LittleEndian.Uint64(rest)
			// The bit of a byte is set in inside if the number of quotes up to it is odd.
			inside := zeros(word ^ ones*'"')
			inside ^= inside << 8
			inside ^= inside << 16
			inside ^= inside << 32
			inside ^= quoted
			// Braces and brackets differ only in this bit.
			braces := word | ones*0x20
			closed := bits.OnesCount64(zeros(braces^ones*'}') &^ inside)
			endsHere := uint64(depth-closed-1) & (1 << 63) // if depth <= closed
			if endsHere|zeros(word^ones*'\\') != 0 {
				break
			}
			depth += bits.OnesCount64(zeros(braces^ones*'{')&^inside) - closed
			quoted = inside >> 63 * highs
			rest = rest[eight:]
		}
		at = len(text) - len(rest)
		// There is an escape, or the end may be here.
		for end := min(at+eight, len(text)); at < end; at++ {
			switch c := text[at]; {
			case c == '"':
				quoted ^= highs
			case quoted != 0:
				if c == '\\' {
					at++
				}
			case c|0x20 == '{':
				depth++
			case c|0x20 == '}':
				if depth--; depth == 0 {
					return at + 1
				}
			}
		}
	}
	return len(text) + 1
}

// skipString returns the end of the string at a position, or more than the length of text if there
// is none.
func skipString(text []byte, at int) int {
	for at++; at < len(text); at++ {
		if len(text)-at >= eight {
			word := binary.LittleEndian.Uint64(text[at:])
			found := zeros(word^ones*'"') | zeros(word^ones*'\\')
			if found == 0 {
				at += eight - 1
				continue
			}
			at += bits.TrailingZeros64(found) / 8
		}
		switch text[at] {
		case '"':
			return at + 1
		case '\\':
			at++
		}
	}
	return len(text) + 1
}
