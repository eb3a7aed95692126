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

package wasm

import "fmt"

// NameSection is the name of the custom section with debug names
// (https://www.w3.org/TR/wasm-core-2/#name-section, and the extended name section proposal for
// labels).
const NameSection = "name"

// The subsections of the name section for the module's name and for maps keyed by function index.
const (
	nameModule    byte = 0
	nameFunctions byte = 1
	nameLocals    byte = 2
	nameLabels    byte = 3
)

// RenumberNames returns the payload of a name section with renumber applied to every function
// index. renumber must be monotonic, because the entries are sorted by index. Names and all other
// subsections stay unchanged. Offsets in errors count from the start of the payload.
//
// RenumberNames refuses a malformed section, although the specification would ignore it. wazero
// 1.12 does not check the sizes of subsections, and allocates memory for the number of names that
// it reads. A wrong number there would kill the process.
func RenumberNames(payload []byte, renumber func(index uint32) uint32) ([]byte, error) {
	r := &reader{buf: payload, end: len(payload)}
	out := make([]byte, 0, len(payload)+len(payload)/16)
	left := MaxNames
	for r.err == nil && r.pos < r.end {
		id := r.byte("id of the subsection")
		content := r.bytes("subsection")
		if r.err != nil {
			break
		}
		sub := &reader{buf: payload, pos: r.pos - len(content), end: r.pos}
		switch id {
		case nameModule:
			sub.bytes("module name")
			sub.done("subsection")
		case nameFunctions, nameLocals, nameLabels:
			content = sub.renumberMap(id != nameFunctions, &left, renumber)
			sub.done("subsection")
		}
		r.err = sub.err
		out = AppendUint32(append(out, id), uint32(len(content)))
		out = append(out, content...)
	}
	if r.err != nil {
		return nil, fmt.Errorf("name section: %w", r.err)
	}
	return out, nil
}

// renumberMap copies a map from function index to name, or with indirect to a map of names. It
// subtracts the number of entries from left.
func (r *reader) renumberMap(indirect bool, left *int, renumber func(uint32) uint32) []byte {
	out := make([]byte, 0, r.remaining()+r.remaining()/16)
	n := r.count("names", 2, *left)
	*left -= n
	out = AppendUint32(out, uint32(n))
	for i := 0; i < n && r.err == nil; i++ {
		out = AppendUint32(out, renumber(r.u32("function index")))
		start := r.pos
		if !indirect {
			r.bytes("name")
		} else {
			inner := r.count("names", 2, *left)
			*left -= inner
			for j := 0; j < inner && r.err == nil; j++ {
				r.u32("index")
				r.bytes("name")
			}
		}
		if r.err == nil {
			out = append(out, r.buf[start:r.pos]...)
		}
	}
	return out
}

// FunctionNames returns the names of the wanted functions from a name section, by index. For a
// malformed section, it returns the names before the error.
func FunctionNames(payload []byte, wanted map[uint32]bool) map[uint32]string {
	names := map[uint32]string{}
	r := &reader{buf: payload, end: len(payload)}
	for r.err == nil && r.pos < r.end {
		id := r.byte("id of the subsection")
		content := r.bytes("subsection")
		if r.err != nil || id != nameFunctions {
			continue
		}
		sub := &reader{buf: content, end: len(content)}
		for n := sub.count("names", 2, MaxNames); n > 0 && sub.err == nil; n-- {
			index := sub.u32("function index")
			if name := sub.bytes("name"); sub.err == nil && wanted[index] {
				names[index] = string(name)
			}
		}
	}
	return names
}
