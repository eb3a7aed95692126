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

package hostile

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Numbers of sections (WebAssembly core specification 2.0, 5.5.2).
const (
	customSection   = 0
	typeSection     = 1
	importSection   = 2
	functionSection = 3
	memorySection   = 5
	globalSection   = 6
	exportSection   = 7
	codeSection     = 10
	dataSection     = 11
)

// section is a section of a module.
type section struct {
	id      byte
	payload []byte
}

const header = "\x00asm\x01\x00\x00\x00"

// accepting returns the sections of a module that accepts every request.
func accepting(t *testing.T) []section {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(modules, "accept.wasm"))
	require.NoError(t, err)
	var sections []section
	for rest := wasm[len(header):]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		require.Positive(t, n)
		payload := rest[1+n:][:size]
		sections = append(sections, section{rest[0], payload})
		rest = rest[1+n+len(payload):]
	}
	return sections
}

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func join(sections []section) []byte {
	out := []byte(header)
	for _, s := range sections {
		out = slices.Concat(out, []byte{s.id}, leb(len(s.payload)), s.payload)
	}
	return out
}

// with returns the module with a section replaced, or added if the module does not have it.
func with(sections []section, id byte, payload []byte) []byte {
	sections = slices.Clone(sections)
	at := slices.IndexFunc(sections, func(s section) bool { return s.id >= id })
	if sections[at].id == id {
		sections[at].payload = payload
	} else {
		sections = slices.Insert(sections, at, section{id, payload})
	}
	return join(sections)
}

// more returns the payload of a section with entries appended.
func more(sections []section, id byte, count int, entries []byte) []byte {
	for _, s := range sections {
		if s.id == id {
			have, n := binary.Uvarint(s.payload)
			return slices.Concat(leb(int(have)+count), s.payload[n:], entries)
		}
	}
	return slices.Concat(leb(count), entries)
}

// body encodes a function body.
func body(locals []byte, code string) []byte {
	b := slices.Concat(locals, []byte(code), []byte{0x0b})
	return slices.Concat(leb(len(b)), b)
}

// withFunctions returns the module with functions added. They have the type of __guest_call, which
// returns an i32.
func withFunctions(sections []section, count int, body []byte) []byte {
	sections = slices.Clone(sections)
	functions := more(sections, functionSection, count, bytes.Repeat([]byte{1}, count))
	code := more(sections, codeSection, count, bytes.Repeat(body, count))
	for n := range sections {
		switch sections[n].id {
		case functionSection:
			sections[n].payload = functions
		case codeSection:
			sections[n].payload = code
		}
	}
	return join(sections)
}

// TestBinaries tests modules that the text format cannot express, or that would be too long in it.
func TestBinaries(t *testing.T) {
	s := accepting(t)
	whole := join(s)
	nested := func(depth int) []byte {
		return body([]byte{0}, strings.Repeat("\x02\x40", depth)+strings.Repeat("\x0b", depth)+
			"\x41\x00")
	}
	locals := func(count int) []byte { return slices.Concat([]byte{1}, leb(count), []byte{0x7f}) }
	result := "\x41\x00" // i32.const 0
	h := newHost(t, engine.Options{}, long)
	for name, test := range map[string]struct {
		wasm []byte
		want outcome
	}{
		"unchanged": {whole, harmless()},
		"sections out of order": {join(slices.Concat(s[:2], s[3:4], s[2:3], s[4:])),
			refused("must stand before the memory section")},
		"section twice": {join(slices.Concat(s[:2], s[1:])),
			refused("second import section")},
		"section of unknown kind": {join(append(slices.Clone(s), section{42, nil})),
			refused("section id 42")},
		"section of 4 GiB": {slices.Concat(whole,
			[]byte("\x00\xff\xff\xff\xff\x0f")), refused("claims 4294967295 bytes")},
		"section size without an end": {slices.Concat(whole, []byte("\x00\x80\x80")),
			refused("unexpected end inside a LEB128 integer")},
		"section size padded": {slices.Concat(whole,
			[]byte("\x00\x82\x80\x80\x80\x00\x01x")), harmless()},
		"section size padded too far": {slices.Concat(whole,
			[]byte("\x00\x82\x80\x80\x80\x80\x00\x01x")),
			refused("integer representation too long")},
		"section size of 33 bits": {slices.Concat(whole,
			[]byte("\x00\x82\x80\x80\x80\x10\x01x")), refused("integer too large")},
		"custom section without a name": {join(append(slices.Clone(s),
			section{customSection, nil})), refused("malformed wasm module")},
		"custom section name not UTF-8": {join(append(slices.Clone(s),
			section{customSection, []byte("\x02\xff\xfe")})), refused("not valid UTF-8")},
		"name section of nonsense": {join(append(slices.Clone(s),
			section{customSection, []byte("\x04name\x01\xff\xff\xff\xff\x0f")})),
			refused("name section")},
		"name section with two readings": {join(append(slices.Clone(s),
			section{customSection, []byte("\x04name\x00\x00\x01\x04\x01\x00\x01a")})),
			refused("name section")},
		"export name not UTF-8": {with(s, exportSection,
			more(s, exportSection, 1, []byte("\x02\xc3\x28\x00\x01"))), refused("not valid UTF-8")},
		"export of an unknown function": {with(s, exportSection,
			more(s, exportSection, 1, []byte("\x01x\x00\x63"))), refused("unknown func 99")},
		"4 billion types": {with(s, typeSection,
			[]byte("\xff\xff\xff\xff\x0f\x60\x00\x00")), refused("4294967295 types")},
		"4 billion imports": {with(s, importSection, []byte("\xff\xff\xff\xff\x0f")),
			refused("4294967295 imports")},
		"4 billion locals": {withFunctions(s, 1,
			body([]byte("\x01\xff\xff\xff\xff\x0f\x7f"), result)), refused("4294967295 locals")},
		"locals whose sum wraps around": {withFunctions(s, 1,
			body([]byte("\x02\xff\xff\xff\xff\x0f\x7f\x02\x7f"), result)), refused("locals")},
		"memory twice": {with(s, memorySection, []byte("\x02\x00\x01\x00\x01")),
			refused("multi-memory proposal")},
		"memory above 4 GiB": {with(s, memorySection, []byte("\x01\x00\x81\x80\x04")),
			refused("expected at most 65536")},
		"code without an end": {withFunctions(s, 1, []byte("\x04\x00\x41\x00\x01")),
			refused("malformed wasm module")},
		"code of an unknown instruction": {withFunctions(s, 1, body([]byte{0}, "\xff")),
			refused("0xff")},
		// As wazero reads it, the code contains a loop.
		"code with two readings": {withFunctions(s, 1,
			body([]byte{0}, "\x02\x40\x00\xfd\x89\x00\x0b\x03\x40\x00\x0b"+result)),
			refused("more than it needs")},
		"code without a result": {withFunctions(s, 1, body([]byte{0}, "")),
			refused("not enough results")},
		"data longer than the module": {with(s, dataSection,
			[]byte("\x01\x00\x41\x00\x0b\xff\xff\xff\xff\x0f")), refused("malformed wasm module")},
		"20000 functions": {withFunctions(s, 20_000, body([]byte{0}, result)),
			harmless()},
		"500 nested blocks": {withFunctions(s, 1, nested(500)), harmless()},
		"10000 nested blocks": {withFunctions(s, 1, nested(10_000)),
			refused("too costly to compile")},
		"60000 nested blocks": {withFunctions(s, 1, nested(60_000)), refused("50000")},
		"50000 locals": {withFunctions(s, 1, body(locals(50_000), result)),
			harmless()},
		"50001 locals": {withFunctions(s, 1, body(locals(50_001), result)),
			refused("50001 locals, expected at most 50000")},
		"4000 globals": {with(s, globalSection,
			more(s, globalSection, 4000, bytes.Repeat([]byte("\x7e\x01\x42\x07\x0b"), 4000))),
			harmless()},
		"20000 globals": {with(s, globalSection,
			more(s, globalSection, 20_000, bytes.Repeat([]byte("\x7e\x01\x42\x07\x0b"), 20_000))),
			refused("at most 16384 are allowed")},
		"50000 data segments": {with(s, dataSection,
			more(s, dataSection, 50_000,
				bytes.Repeat([]byte("\x00\x41\x80\x20\x0b\x01x"), 50_000))), harmless()},
		"1000001 data segments": {with(s, dataSection,
			more(s, dataSection, 1_000_000,
				bytes.Repeat([]byte("\x00\x41\x80\x20\x0b\x01x"), 1_000_000))),
			refused("expected at most 1000000")},
	} {
		t.Run(name, func(t *testing.T) { h.attack(t, test.wasm, test.want) })
	}
}

// TestTruncatedModules truncates a module after every byte. No truncated module may cause a panic.
func TestTruncatedModules(t *testing.T) {
	h := newHost(t, engine.Options{}, long)
	wasm :=
		join(slices.DeleteFunc(accepting(t), func(s section) bool { return s.id == customSection }))
	for size := range wasm {
		guest, err := wapc.Load(t.Context(), h.engine, wasm[:size])
		if err == nil { // for example, if only the data is missing
			guest.Close()
			continue
		}
		require.NotContains(t, err.Error(), "panicked", "after %d bytes", size)
	}
	require.LessOrEqual(t, h.engine.Stats().MemoryBytes, h.memory)
	h.accepts(t, h.bystander, innocent)
}

// TestCorruptModules changes every byte of a module outside its data. It runs the modules that
// still load, which must not harm the host.
func TestCorruptModules(t *testing.T) {
	h := newHost(t, engine.Options{}, short)
	wasm := join(slices.DeleteFunc(accepting(t), func(s section) bool {
		return s.id == customSection || s.id == dataSection
	}))
	for at := range wasm {
		for _, change := range []byte{0x01, 0x80, 0xff} {
			corrupt := slices.Clone(wasm)
			corrupt[at] ^= change
			guest, err := wapc.Load(t.Context(), h.engine, corrupt)
			if err == nil {
				_, _, err = guest.Validate(t.Context(), environment(short), attacking, settings)
				guest.Close()
			}
			if err != nil {
				require.NotContains(t, err.Error(), "panicked", "byte %d changed by %#x", at,
					change)
				require.NotContains(t, err.Error(), "recovered", "byte %d changed by %#x", at,
					change)
			}
		}
	}
	require.LessOrEqual(t, h.engine.Stats().MemoryBytes, h.memory)
	h.accepts(t, h.bystander, innocent)
}
