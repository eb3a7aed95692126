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
	"encoding/binary"
	"errors"
	"fmt"
)

// The preamble of a WebAssembly module and the id of its custom sections
// (WebAssembly core specification 2.0, 5.5).
var preamble = []byte{0, 'a', 's', 'm', 1, 0, 0, 0}

const customSectionID = 0

// customSection returns the content of the first custom section with a name, or
// nil if there is none. It trusts no size that the binary gives.
func customSection(wasm []byte, name string) ([]byte, error) {
	rest, ok := bytes.CutPrefix(wasm, preamble)
	if !ok {
		return nil, errors.New("not a WebAssembly core module of version 1")
	}
	for len(rest) > 0 {
		id := rest[0]
		content, after, err := prefixed(rest[1:])
		if err != nil {
			return nil, fmt.Errorf("section at offset %d: %w", len(wasm)-len(rest), err)
		}
		if id == customSectionID {
			sectionName, body, err := prefixed(content)
			if err != nil {
				return nil, fmt.Errorf("name of the custom section at offset %d: %w", len(wasm)-len(rest), err)
			}
			if string(sectionName) == name {
				return body, nil
			}
		}
		rest = after
	}
	return nil, nil
}

// prefixed splits data after the bytes whose number its first bytes say, as an
// unsigned LEB128 of at most 32 bits.
func prefixed(data []byte) (content, rest []byte, err error) {
	size, n := binary.Uvarint(data)
	if n <= 0 || n > 5 {
		return nil, nil, errors.New("malformed size")
	}
	data = data[n:]
	if size > uint64(len(data)) {
		return nil, nil, fmt.Errorf("size is %d bytes, only %d are left", size, len(data))
	}
	return data[:size], data[size:], nil
}
