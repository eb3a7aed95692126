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

package wasm_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

const header = "\x00asm\x01\x00\x00\x00"

// section encodes a section whose payload is shorter than 16,384 bytes, with a size of two bytes.
func section(id byte, payload string) string {
	return string([]byte{id, byte(len(payload)&0x7f) | 0x80, byte(len(payload) >> 7)}) + payload
}

// withCode returns a module with one function without parameters and results. Code is the
// function's body after the local declarations, without the end.
func withCode(code string) string {
	body := "\x00" + code + "\x0b"
	return header + section(1, "\x01\x60\x00\x00") + section(3, "\x01\x00") +
		section(10, "\x01"+string([]byte{byte(len(body)&0x7f) | 0x80, byte(len(body) >> 7)})+body)
}

func decodeAndWalk(input string) error {
	m, err := wasm.Decode([]byte(input))
	if err == nil {
		err = walk(m)
	}
	return err
}

// nullary is a type section with only the type of functions without parameters and results.
var nullary = section(1, "\x01\x60\x00\x00")

// malformed holds inputs that must be refused, with the error message including its offset.
var malformed = map[string]struct{ input, message string }{
	"empty": {"",
		"0x0: not a WebAssembly module: 0 bytes, expected the 8 bytes of the magic number and the version"},
	"magic": {"\x00asn\x01\x00\x00\x00",
		"0x0: not a WebAssembly module: magic number 0061736e, expected 0061736d"},
	"version": {"\x00asm\x02\x00\x00\x00",
		"0x4: version 02000000, expected 01000000"},
	"section id": {header + "\x2a\x00", "0x8: section id 42, expected 0 to 12"},
	"section size": {header + "\x01\x05\x00",
		"0x8: the type section claims 5 bytes, 1 are left"},
	"section size truncated": {header + "\x01\x80",
		"0x9: unexpected end inside a LEB128 integer, expected section size"},
	"section twice": {header + nullary + nullary, "0xf: second type section"},
	"section order": {header + section(3, "\x00") + nullary,
		"0xc: the type section must stand before the function section"},
	"data count after code": {header + section(10, "\x00") + section(12, "\x00"),
		"0xc: the data count section must stand before the code section"},
	"trailing bytes": {header + section(1, "\x00\x00"),
		"0xc: 1 trailing bytes, expected the end of the type section"},
	"count": {header + section(1, "\xff\xff\x03\x60"),
		"0xb: 65535 types do not fit in the 1 bytes that are left"},
	"count above limit": {header + section(1, "\xff\xff\xff\xff\x0f"),
		"0xb: 4294967295 types, expected at most 1000000"},
	"type form": {header + section(1, "\x01\x61\x00\x00"),
		"unsupported wasm feature at offset 0xc: type form 0x61 of the stringref proposal"},
	"unknown type form": {header + section(1, "\x01\x41\x00\x00"),
		"0xc: type form 0x41, expected 0x60 of a function type"},
	"value type": {header + section(1, "\x01\x60\x01\x40\x00"),
		"0xe: unknown type 0x40, expected parameter type"},
	"forward reference": {header + section(1, "\x01\x60\x01\x63\x00\x00"),
		"0xe: reference to unknown type 0, expected an index below 0"},
	"import name": {header + nullary + section(2, "\x01\x01\xff\x00\x00\x00"),
		"0x13: module of the import is not valid UTF-8"},
	"import kind": {header + nullary + section(2, "\x01\x00\x00\x05\x00"),
		"0x15: import kind 0x5, expected 0 to 3"},
	"imports of a module": {header + nullary +
		section(2, "\x01\x01m\x00\x7f\x02\x01a\x00\x00\x01b\x00\x01"),
		"0x1f: unknown type 1, expected an index below 1"},
	"imports of a type": {header + nullary +
		section(2, "\x01\x01m\x00\x7e\x00\x01\x01\x01a"),
		"0x18: unknown type 1, expected an index below 1"},
	"too many imports": {header + nullary +
		section(2, "\x01\x01m\x00\x7e\x00\x00\xff\x01\x01a"),
		"0x19: 255 imports of the type do not fit in the 2 bytes that are left"},
	"two memories imported": {header + section(2, "\x01\x01m\x00\x7e\x02\x00\x01\x02\x01a\x01b"),
		"unsupported wasm feature at offset 0x18: second memory of the multi-memory proposal"},
	"import type": {header + nullary + section(2, "\x01\x00\x00\x00\x01"),
		"0x16: unknown type 1, expected an index below 1"},
	"memory above 4 GiB": {header + section(5, "\x01\x00\x81\x80\x04"),
		"0xd: minimum of the memory is 65537, expected at most 65536"},
	"memory limits": {header + section(5, "\x01\x01\x02\x01"),
		"0xd: maximum 1 of the memory is below its minimum 2"},
	"table too large": {header + section(4, "\x01\x70\x00\x81\xad\xe2\x04"),
		"0xe: minimum of the table is 10000001, expected at most 10000000"},
	"mutability": {header + section(6, "\x01\x7f\x04\x41\x00\x0b"),
		"0xd: mutability 0x4, expected 0 or 1"},
	"global of the future": {header + section(6, "\x01\x7f\x00\x23\x00\x0b"),
		"0xf: unknown global 0, expected an index below 0"},
	"not constant": {header + section(6, "\x01\x7f\x00\x01\x0b\x0b"),
		"0xe: instruction 0x1, expected a constant expression"},
	"export twice": {header + section(5, "\x01\x00\x00") +
		section(7, "\x02\x00\x02\x00\x00\x02\x00"), "0x15: second export \"\""},
	"export index": {header + section(7, "\x01\x00\x02\x00"),
		"0xe: unknown memory 0, expected an index below 0"},
	"start": {header + section(8, "\x00"),
		"0xb: unknown function 0, expected an index below 0"},
	"element flags": {header + section(9, "\x01\x08\x00"),
		"0xc: element segment flags 0x8, expected 0 to 7"},
	"element kind": {header + section(9, "\x01\x01\x01\x00"),
		"0xd: element kind 0x1, expected 0"},
	"data flags": {header + section(11, "\x01\x03\x00"),
		"0xc: data segment flags 0x3, expected 0 to 2"},
	"data without memory": {header + section(11, "\x01\x00\x41\x00\x0b\x00"),
		"0xd: active data segment, but there is no memory"},
	"data count": {header + section(12, "\x01"),
		"0xc: the data count section promises 1 segments, the data section has 0"},
	"body missing": {header + nullary + section(3, "\x01\x00"),
		"0x14: 1 functions are declared, but the code section has 0 bodies"},
	"body too many": {header + section(10, "\x01\x02\x00\x0b"),
		"0xc: 1 function bodies, expected 0 as declared"},
	"locals": {header + nullary + section(3, "\x01\x00") +
		section(10, "\x01\x06\x01\xd1\x86\x03\x7f\x0b"),
		"0x1d: 50001 locals, expected at most 50000"},
	"body without end": {header + nullary + section(3, "\x01\x00") +
		section(10, "\x01\x02\x00\x01"),
		"0x18: the function body has no end instruction as its last byte"},
	"bytes after the end": {withCode("\x0b\x01"),
		"0x1c: 2 bytes after the end of the function body"},
	"open block": {withCode("\x02\x40"),
		"0x1e: unexpected end of the code, 1 blocks are open"},
	"else without if":          {withCode("\x05"), "0x1b: else without if"},
	"two elses":                {withCode("\x41\x00\x04\x40\x05\x05\x0b"), "0x20: else without if"},
	"unknown instruction":      {withCode("\xff"), "0x1b: unknown instruction 0xff"},
	"unknown misc instruction": {withCode("\xfc\x40"), "0x1c: unknown instruction 0xfc 64"},
	"long vector opcode": {withCode("\xfd\x89\x00\x00\x00"),
		"0x1c: opcode 0x9 of a vector instruction takes 2 bytes, which is more than it needs"},
	"longer vector opcode": {withCode("\xfd\x89\x81\x00"),
		"0x1c: opcode 0x89 of a vector instruction takes 3 bytes, which is more than it needs"},
	"unknown vector operation": {withCode("\xfd\x9a\x01"), "0x1c: unknown instruction 0xfd 0x9a"},
	"block type": {withCode("\x02\x01\x0b"),
		"0x1c: block type 1, expected a type index below 1"},
	"label": {withCode("\x0c\x01"),
		"0x1c: unknown label 1, expected an index below 1"},
	"local": {withCode("\x20\x00"),
		"0x1c: unknown local 0, expected an index below 0"},
	"global": {withCode("\x23\x00"),
		"0x1c: unknown global 0, expected an index below 0"},
	"function": {withCode("\x10\x01"),
		"0x1c: unknown function 1, expected an index below 1"},
	"type": {withCode("\x11\x01\x00"),
		"0x1c: unknown type 1, expected an index below 1"},
	"br_table count": {withCode("\x0e\x7f"),
		"0x1c: br_table with 127 labels, but 1 bytes are left"},
	"br_table limit": {withCode("\x0e\xf1\xff\x03"),
		"0x1c: br_table with 65521 labels, expected at most 65520"},
	"immediate cut off": {withCode("\x43\x00"),
		"0x1c: unexpected end of the code, expected 4 more bytes"},
	"alignment": {withCode("\x28\x20\x00"),
		"0x1c: alignment 2^32 of a memory access"},
	"select": {withCode("\x1c\x02\x7f\x7f"),
		"0x1c: select with 2 types, expected 1"},
	"nesting": {nested(wasm.MaxNesting),
		"0x186b9: blocks nested deeper than 50000"},
	"null of a subtype": {header + nullary + section(6, "\x01\x63\x00\x00\xd0\x70\x0b"),
		"0x16: constant expression of type funcref, expected ref null 0"},
}

// TestMalformed checks that inputs are refused with the expected offset and message.
func TestMalformed(t *testing.T) {
	for name, c := range malformed {
		t.Run(name, func(t *testing.T) {
			err := decodeAndWalk(c.input)
			if !strings.HasPrefix(c.message, "unsupported") {
				c.message = "malformed wasm module at offset " + c.message
			}
			require.EqualError(t, err, c.message)
		})
	}
}

// nested returns a module with blocks nested n deep inside of the body.
func nested(n int) string {
	m := wasm.Module{
		Types: []wasm.FuncType{{}}, Functions: []uint32{0},
		Bodies: []wasm.Body{{Code: []byte(strings.Repeat("\x02\x40", n) +
			strings.Repeat("\x0b", n+1))}},
	}
	return string(m.Encode())
}

func TestNestingLimit(t *testing.T) {
	require.NoError(t, decodeAndWalk(nested(wasm.MaxNesting-1)))
}

// TestBodySizeLimit exceeds the size of a body by one byte.
func TestBodySizeLimit(t *testing.T) {
	body := func(size int) string {
		m := wasm.Module{
			Types: []wasm.FuncType{{}}, Functions: []uint32{0},
			Bodies: []wasm.Body{{Code: []byte(strings.Repeat("\x01", size-2) + "\x0b")}},
		}
		return string(m.Encode())
	}
	require.NoError(t, decodeAndWalk(body(wasm.MaxBodySize)))
	require.ErrorContains(t, decodeAndWalk(body(wasm.MaxBodySize+1)),
		"7654322 bytes of the function body, expected at most 7654321")
}

// TestUnsupported checks that every unsupported proposal is refused by name.
func TestUnsupported(t *testing.T) {
	for name, c := range map[string]struct{ input, proposal string }{
		"component":   {"\x00asm\x0d\x00\x01\x00", "component-model"},
		"tag section": {header + section(13, "\x00"), "exception-handling"},
		"tag import": {header + section(2, "\x01\x00\x00\x04\x00\x00"),
			"exception-handling"},
		"exnref":          {header + section(1, "\x01\x60\x01\x69\x00"), "exception-handling"},
		"throw":           {withCode("\x08\x00"), "exception-handling"},
		"try_table":       {withCode("\x1f\x40\x00\x0b"), "exception-handling"},
		"recursive types": {header + section(1, "\x01\x4e\x01\x60\x00\x00"), "gc"},
		"struct":          {header + section(1, "\x01\x5f\x00\x00"), "gc"},
		"anyref":          {header + section(1, "\x01\x60\x01\x6e\x00"), "gc"},
		"heap type":       {withCode("\xd0\x6e"), "gc"},
		"struct.new":      {withCode("\xfb\x00\x00"), "gc"},
		"string.new":      {withCode("\xfb\x80\x01"), "stringref"},
		"string section":  {header + section(14, "\x00"), "stringref"},
		"shared memory":   {header + section(5, "\x01\x03\x01\x01"), "threads"},
		"atomics":         {withCode("\xfe\x00\x02\x00"), "threads"},
		"64-bit memory":   {header + section(5, "\x01\x04\x01"), "memory64"},
		"page size":       {header + section(5, "\x01\x08\x01\x00"), "custom-page-sizes"},
		"two memories":    {header + section(5, "\x02\x00\x01\x00\x01"), "multi-memory"},
		"memory index":    {withCode("\x3f\x01"), "multi-memory"},
		"load with index": {withCode("\x28\x42\x01\x00"), "multi-memory"},
		"data with index": {header + section(5, "\x01\x00\x01") +
			section(11, "\x01\x02\x01\x41\x00\x0b\x00"), "multi-memory"},
		"relaxed SIMD":       {withCode("\xfd\x80\x02"), "relaxed-simd"},
		"128-bit arithmetic": {withCode("\xfc\x13"), "wide-arithmetic"},
		"memory.discard":     {withCode("\xfc\x12\x00"), "memory-control"},
		"cont.new":           {withCode("\xe0\x00"), "stack-switching"},
	} {
		t.Run(name, func(t *testing.T) {
			var unsupported *wasm.UnsupportedError
			require.ErrorAs(t, decodeAndWalk(c.input), &unsupported)
			require.Equal(t, c.proposal, unsupported.Proposal)
			require.NotEmpty(t, unsupported.Feature)
		})
	}
}

// TestCountsAllocateNothing decodes sections whose counts exceed their content.
func TestCountsAllocateNothing(t *testing.T) {
	for id := byte(1); id <= 11; id++ {
		input := []byte(header + section(id, "\xff\xff\x3f"))
		allocated := testing.AllocsPerRun(10, func() {
			if _, err := wasm.Decode(input); err == nil && id != 8 {
				panic("accepted")
			}
		})
		require.Less(t, allocated, 20.0, "section %d", id)
	}
}

// TestRenumberNames checks that subsections keyed by function are renumbered, and that others stay
// unchanged.
func TestRenumberNames(t *testing.T) {
	payload := "\x00\x02\x01m" + "\x01\x07\x02\x00\x01a\x7f\x01b" +
		"\x02\x06\x01\x7f\x01\x00\x01x" + "\x07\x04\x01\x7f\x01g"
	expected := "\x00\x02\x01m" + "\x01\x08\x02\x00\x01a\x80\x01\x01b" +
		"\x02\x07\x01\x80\x01\x01\x00\x01x" + "\x07\x04\x01\x7f\x01g"
	out, err := wasm.RenumberNames([]byte(payload), func(index uint32) uint32 {
		if index > 0 {
			index++
		}
		return index
	})
	require.NoError(t, err)
	require.Equal(t, expected, string(out))
}

// TestRenumberNamesRefuses covers sections of which wazero would read more than they contain.
func TestRenumberNamesRefuses(t *testing.T) {
	many := string(wasm.AppendUint32(nil, wasm.MaxNames+1)) +
		strings.Repeat("\x00\x00", wasm.MaxNames+1)
	for name, c := range map[string]struct{ payload, want string }{
		"no module name": {"\x00\x00\x01\x04\x01\x00\x01a", "unexpected end"},
		"module name too long": {"\x00\x01\x05",
			"5 bytes of module name do not fit in the 0 bytes that are left"},
		"more than a module name": {"\x00\x03\x01mx", "1 trailing bytes"},
		"more names than bytes": {"\x01\x05\x80\x80\x80\x80\x04",
			"names, expected at most 2000000"},
		"too many names": {"\x01" + string(wasm.AppendUint32(nil, uint32(len(many)))) +
			many, "2000001 names, expected at most 2000000"},
		"too many in two": {"\x01\x04\x01\x00\x01a\x02\x09\x01\x00\x80\x89\x7a\x00\x00\x00\x00",
			"2000000 names, expected at most 1999998"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := wasm.RenumberNames([]byte(c.payload), func(index uint32) uint32 {
				return index
			})
			require.ErrorContains(t, err, c.want)
		})
	}
}
