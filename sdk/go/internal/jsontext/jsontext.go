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
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

var errUnexpectedEnd = errors.New("unexpected end of JSON input")

// Members calls a function for each member of the object in text, with the member's name and the
// text of its value.
func Members(text []byte, member func(name string, value []byte) error) error {
	return whole(text, func() (int, error) {
		return Walk(text, 0, func(name string, at int) (end int, err error) {
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
// its end.
func Walk(text []byte, at int,
	member func(name string, at int) (end int, err error)) (end int, err error) {
	return each(text, at, '{', '}', func(at int) (int, error) {
		end, err := Skip(text, at)
		if err != nil {
			return 0, err
		}
		name, err := String(text[at:end])
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
	plain := len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"'
	for _, c := range text {
		if c == '\\' || c < ' ' || c > '~' {
			plain = false
			break
		}
	}
	if plain {
		return string(text[1 : len(text)-1]), nil
	}
	var s string
	err := json.Unmarshal(text, &s)
	return s, err
}

// Strings returns the array of strings in text. null is nil.
func Strings(text []byte) (list []string, err error) {
	if IsNull(text) {
		return nil, nil
	}
	return list, Elements(text, func(value []byte) error {
		s, err := String(value)
		list = append(list, s)
		return err
	})
}

// StringMap returns the object in text, whose values are strings. null is nil.
func StringMap(text []byte) (map[string]string, error) {
	if IsNull(text) {
		return nil, nil
	}
	all := map[string]string{}
	return all, Members(text, func(name string, value []byte) (err error) {
		all[name], err = String(value)
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
		return skipString(text, at)
	case '{', '[':
		return skipBrackets(text, at)
	}
	start := at
	for at < len(text) && strings.IndexByte(",:]}{[\" \n\r\t", text[at]) < 0 {
		at++
	}
	if at == start {
		return 0, unexpected(text, at)
	}
	return at, nil
}

func skipBrackets(text []byte, at int) (end int, err error) {
	for depth := 0; at < len(text); {
		c := text[at]
		if c == '"' {
			if at, err = skipString(text, at); err != nil {
				return 0, err
			}
			continue
		}
		at++
		// Braces and brackets differ only in this bit, and most other characters are below them.
		if c < '[' {
			continue
		}
		switch c | 0x20 {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return at, nil
			}
		}
	}
	return 0, errUnexpectedEnd
}

func skipString(text []byte, at int) (end int, err error) {
	for at++; ; {
		quote := bytes.IndexByte(text[at:], '"')
		if quote < 0 {
			return 0, errUnexpectedEnd
		}
		at += quote + 1
		// A quote ends the string unless it is escaped. The loop ends at the opening quote.
		escapes := 0
		for text[at-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return at, nil
		}
	}
}
