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

package annotate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// preamble is the magic number and version of a WebAssembly 1.0 core module.
var preamble = []byte("\x00asm\x01\x00\x00\x00")

// customSection is the id that all custom sections share.
const customSection = 0

var errTruncated = errors.New("truncated section")

// Section copies a module without its metadata sections, and appends one with the given content.
// All other bytes stay unchanged.
func Section(module, metadata []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(module, preamble)
	if !ok {
		return nil, errors.New("not a WebAssembly 1.0 core module")
	}
	annotated := bytes.Clone(preamble)
	for len(rest) > 0 {
		id := rest[0]
		body, after, err := sized(rest[1:])
		if err != nil {
			return nil, fmt.Errorf("section at offset %d: %w", len(module)-len(rest), err)
		}
		metadataSection, err := isMetadata(id, body)
		if err != nil {
			return nil, fmt.Errorf("section at offset %d: %w", len(module)-len(rest), err)
		}
		if !metadataSection {
			annotated = append(annotated, rest[:len(rest)-len(after)]...)
		}
		rest = after
	}

	body := appendSized(nil, []byte(abi.MetadataSection))
	body = append(body, metadata...)
	annotated = append(annotated, customSection)
	return appendSized(annotated, body), nil
}

func isMetadata(id byte, body []byte) (bool, error) {
	if id != customSection {
		return false, nil
	}
	name, _, err := sized(body)
	return string(name) == abi.MetadataSection, err
}

// sized splits off bytes that are preceded by their length, an unsigned LEB128 number of 32 bits.
func sized(b []byte) (content, after []byte, err error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || n > binary.MaxVarintLen32 || length > uint64(len(b)-n) {
		return nil, nil, errTruncated
	}
	end := n + int(length)
	return b[n:end], b[end:], nil
}

func appendSized(b, content []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(content)))
	return append(b, content...)
}
