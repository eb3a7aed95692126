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

package abi

import (
	"bytes"
	"math"
)

// decodeUsual decodes the common form of an answer without a JSON decoder. That form has no spaces,
// no escapes and only ASCII characters. It holds a verdict, a message and a code, and nulls for the
// other fields, each at most once. decodeUsual returns nil for any other answer, valid or not.
func decodeUsual(data []byte) *ValidationResponse {
	response := &ValidationResponse{}
	var known [len(usualFields)]bool
	for next := byte('{'); ; next = ',' {
		if len(data) == 0 || data[0] != next {
			return nil
		}
		name, rest := plainText(data[1:])
		n := usualField(name)
		if n < 0 || known[n] || len(rest) == 0 || rest[0] != ':' {
			return nil
		}
		known[n] = true
		var ok bool
		if data, ok = usualFields[n].read(response, rest[1:]); !ok {
			return nil
		}
		if string(data) == "}" {
			break
		}
	}
	if !known[0] {
		return nil
	}
	return response
}

// usualFields are the fields of a response with their readers. A reader returns the rest of the
// data behind the value, and false for an uncommon value. The first field is required.
var usualFields = [...]struct {
	name string
	read func(*ValidationResponse, []byte) (rest []byte, ok bool)
}{
	{"accepted", readAccepted},
	{"message", readMessage},
	{"code", readCode},
	{"mutated_object", readNull},
	{"audit_annotations", readNull},
	{"warnings", readNull},
}

func usualField(name []byte) int {
	for n := range usualFields {
		if string(name) == usualFields[n].name {
			return n
		}
	}
	return -1
}

func readNull(_ *ValidationResponse, data []byte) (rest []byte, ok bool) {
	return bytes.CutPrefix(data, null)
}

var null, yes, no = []byte("null"), []byte("true"), []byte("false")

func readAccepted(r *ValidationResponse, data []byte) (rest []byte, ok bool) {
	if rest, r.Accepted = bytes.CutPrefix(data, yes); r.Accepted {
		return rest, true
	}
	return bytes.CutPrefix(data, no)
}

func readMessage(r *ValidationResponse, data []byte) (rest []byte, ok bool) {
	if rest, absent := bytes.CutPrefix(data, null); absent {
		return rest, true
	}
	text, rest := plainText(data)
	r.Message = string(text)
	return rest, rest != nil
}

func readCode(r *ValidationResponse, data []byte) (rest []byte, ok bool) {
	if rest, absent := bytes.CutPrefix(data, null); absent {
		return rest, true
	}
	n := 0
	for n < len(data) && data[n] >= '0' && data[n] <= '9' {
		if r.Code = 10*r.Code + int32(data[n]-'0'); r.Code > math.MaxUint16 ||
			n > 0 && data[0] == '0' {
			return nil, false
		}
		n++
	}
	return data[n:], n > 0
}

// plainText reads a string of printable ASCII without escapes. It returns a nil rest for anything
// else.
func plainText(data []byte) (text, rest []byte) {
	if len(data) == 0 || data[0] != '"' {
		return nil, nil
	}
	for n, b := range data[1:] {
		switch {
		case b == '"':
			return data[1 : 1+n], data[2+n:]
		case b < ' ' || b > '~' || b == '\\':
			return nil, nil
		}
	}
	return nil, nil
}
