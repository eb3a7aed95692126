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

// Shell returns an encoded module without its code: each function only traps. It keeps the names of
// the module and its functions, and drops all other custom sections. Everything else stays the
// same, byte for byte.
//
// A shell replaces the module where only declarations matter, next to code that was compiled from
// the module before. mark distinguishes the shells of modules with the same declarations. It
// becomes the payload of a custom section with the given name.
func Shell(module []byte, name string, mark []byte) ([]byte, error) {
	r := &reader{buf: module, end: len(module)}
	r.header()
	out := append(append(make([]byte, 0, len(module)/4), magic...), version...)
	for r.err == nil && r.pos < r.end {
		start := r.pos
		id := sectionID(r.byte("section id"))
		content := r.bytes("section")
		s := &reader{buf: module, pos: r.pos - len(content), end: r.pos, err: r.err}
		switch id {
		case sectionCode:
			out = appendTraps(out, uint32(s.count("function bodies", 3, MaxFunctions)))
		case sectionCustom:
			if s.name("name of the custom section") == NameSection {
				out = appendCustom(out, NameSection, s.functionNames())
			}
		default:
			out = append(out, module[start:r.pos]...)
		}
		r.err = s.err
	}
	if r.err != nil {
		return nil, fmt.Errorf("shell: %w", r.err)
	}
	return appendCustom(out, name, mark), nil
}

// appendTraps appends a code section of n functions without locals.
func appendTraps(out []byte, n uint32) []byte {
	body := [...]byte{3, 0, byte(OpUnreachable), byte(OpEnd)}
	out = append(out, byte(sectionCode))
	out = AppendUint32(out, uint32(sizeUint32(n))+n*uint32(len(body)))
	out = AppendUint32(out, n)
	for range n {
		out = append(out, body[:]...)
	}
	return out
}

func appendCustom(out []byte, name string, payload []byte) []byte {
	size := sizeUint32(uint32(len(name))) + len(name) + len(payload)
	out = AppendUint32(append(out, byte(sectionCustom)), uint32(size))
	return append(appendName(out, name), payload...)
}

// functionNames returns the parts of a name section's payload that name the module and its
// functions.
func (r *reader) functionNames() []byte {
	var names []byte
	for r.err == nil && r.pos < r.end {
		start := r.pos
		id := r.byte("id of the subsection")
		if r.bytes("subsection"); id <= nameFunctions {
			names = append(names, r.buf[start:r.pos]...)
		}
	}
	return names
}
