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

package jsonpatch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
)

// Equal reports whether two values from Decode are equal.
func Equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, value := range a {
			if other, found := b[name]; !found || !Equal(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, Equal)
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	default:
		return a == b
	}
}

// Same reports whether two JSON texts are equal. It decodes the first one. It only scans the second
// one, which may come from anybody, up to the first difference. Memory use therefore depends only
// on the first text. A second text with duplicate names in an object counts as equal only if both
// are the same byte for byte.
func Same(value, other []byte) bool {
	if bytes.Equal(value, other) {
		return true
	}
	decoded, err := Decode(value)
	if err != nil {
		return false
	}
	decoder := json.NewDecoder(bytes.NewReader(other))
	decoder.UseNumber()
	if !next(decoder, decoded) {
		return false
	}
	_, err = decoder.Token()
	return errors.Is(err, io.EOF)
}

// next reports whether the next value equals a value from Decode. It recurses no deeper than that
// value.
func next(decoder *json.Decoder, value any) bool {
	token, err := decoder.Token()
	if err != nil {
		return false
	}
	switch value := value.(type) {
	case map[string]any:
		return token == json.Delim('{') && nextFields(decoder, value)
	case []any:
		if token != json.Delim('[') {
			return false
		}
		for _, element := range value {
			if !decoder.More() || !next(decoder, element) {
				return false
			}
		}
		if decoder.More() {
			return false
		}
		_, err := decoder.Token()
		return err == nil
	}
	return Equal(token, value)
}

// nextFields reports whether the rest of the next object has the same fields.
func nextFields(decoder *json.Decoder, fields map[string]any) bool {
	seen := make(map[string]struct{}, len(fields))
	for decoder.More() {
		name, err := decoder.Token()
		text, isText := name.(string)
		value, found := fields[text]
		if err != nil || !isText || !found {
			return false
		}
		if _, twice := seen[text]; twice || !next(decoder, value) {
			return false
		}
		seen[text] = struct{}{}
	}
	_, err := decoder.Token()
	return err == nil && len(seen) == len(fields)
}

// sameNumber reports whether an API server stores two numbers as the same number. It does so for 1
// and 1.0, but not for different integers that are too large for a float64.
func sameNumber(a, b json.Number) bool {
	return a == b || stored(a) == stored(b)
}

// stored returns a number as an API server writes it. The server reads an int64 if possible, and
// otherwise a float64. A number that fits neither stays unchanged.
func stored(n json.Number) string {
	if integer, err := n.Int64(); err == nil {
		return strconv.FormatInt(integer, 10)
	}
	if float, err := n.Float64(); err == nil {
		if text, err := json.Marshal(float); err == nil {
			return string(text)
		}
	}
	return n.String()
}
