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

import (
	"bytes"
	"fmt"
)

type sectionID byte

const (
	sectionCustom sectionID = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
	sectionTag

	sectionCount = int(sectionDataCount) + 1
)

// sectionOrder is the order of the sections in a module. The data count section comes before the
// code, so that the code can be validated in one pass.
var sectionOrder = [...]sectionID{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal,
	sectionExport,
	sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData,
}

// sectionRank is the position of a section in sectionOrder, starting with 1.
var sectionRank = func() (rank [sectionCount]int) {
	for i, id := range sectionOrder {
		rank[id] = i + 1
	}
	return rank
}()

// String returns the name of the section from the specification.
func (id sectionID) String() string {
	names := [...]string{
		"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
		"element", "code",
		"data", "data count", "tag",
	}
	if int(id) < len(names) {
		return names[id]
	}
	return fmt.Sprintf("unknown (%d)", byte(id))
}

var (
	magic   = []byte("\x00asm")
	version = []byte{1, 0, 0, 0}
)

// Decode decodes a module. The result aliases input. Errors are [*Error] or [*UnsupportedError].
func Decode(input []byte) (*Module, error) {
	if len(input) > MaxModuleSize {
		return nil, &Error{
			Message: fmt.Sprintf("%d bytes, expected at most %d", len(input), MaxModuleSize),
		}
	}
	r := &reader{buf: input, end: len(input)}
	r.header()
	d := &decoder{module: &Module{}}
	last := sectionCustom
	for r.err == nil && r.pos < r.end {
		last = d.section(r, last)
	}
	if r.err != nil {
		return nil, r.err
	}
	m := d.module
	if len(m.Functions) != len(m.Bodies) {
		return nil, &Error{Offset: r.end,
			Message: fmt.Sprintf(
				"%d functions are declared, but the code section has %d bodies",
				len(m.Functions), len(m.Bodies))}
	}
	if m.DataCount != nil && int(*m.DataCount) != len(m.Data) {
		return nil, &Error{Offset: r.end,
			Message: fmt.Sprintf(
				"the data count section promises %d segments, the data section has %d",
				*m.DataCount, len(m.Data))}
	}
	return m, nil
}

func (r *reader) header() {
	if r.end < 8 {
		r.fail(
			"not a WebAssembly module: %d bytes, expected the 8 bytes of the magic number and the version",
			r.end)
		return
	}
	if !bytes.Equal(r.buf[:4], magic) {
		r.fail("not a WebAssembly module: magic number %x, expected %x", r.buf[:4], magic)
		return
	}
	if !bytes.Equal(r.buf[4:8], version) {
		if r.buf[6] == 1 && r.buf[7] == 0 {
			r.unsupported(4, proposalComponentModel, "component binary")
			return
		}
		r.failAt(4, "version %x, expected %x", r.buf[4:8], version)
		return
	}
	r.pos = 8
}

// decoder holds the sizes of the index spaces, which later sections need.
type decoder struct {
	module                      *Module
	functions, tables, memories int
	globals                     []GlobalType
}

// section reads one section. last is the previous non-custom section. It returns the new last.
func (d *decoder) section(r *reader, last sectionID) sectionID {
	at := r.pos
	id := sectionID(r.byte("section id"))
	claimed := r.u32("section size")
	switch {
	case r.err != nil:
		return last
	case int64(claimed) > int64(r.remaining()):
		r.failAt(at, "the %s section claims %d bytes, %d are left", id, claimed, r.remaining())
		return last
	case id == sectionTag:
		r.unsupported(at, proposalExceptions, "tag section")
		return last
	case id == sectionTag+1:
		r.unsupported(at, proposalStringref, "string section")
		return last
	case int(id) >= sectionCount:
		r.failAt(at, "section id %d, expected 0 to %d", byte(id), sectionCount-1)
		return last
	}
	s := &reader{buf: r.buf, pos: r.pos, end: r.pos + int(claimed)}
	if id == sectionCustom {
		name := s.name("name of the custom section")
		d.module.Custom = append(d.module.Custom,
			CustomSection{Name: name, Payload: s.buf[s.pos:s.end:s.end], after: last})
		r.pos, r.err = s.end, s.err
		return last
	}
	switch {
	case d.module.present[id]:
		r.failAt(at, "second %s section", id)
	case sectionRank[id] < sectionRank[last]:
		r.failAt(at, "the %s section must stand before the %s section", id, last)
	}
	if r.err != nil {
		return last
	}
	d.module.present[id] = true
	d.content(s, id)
	s.done(id.String() + " section")
	r.pos, r.err = s.end, s.err
	return id
}

func (d *decoder) content(r *reader, id sectionID) {
	switch id {
	case sectionType:
		d.types(r)
	case sectionImport:
		d.imports(r)
	case sectionFunction:
		d.functionSection(r)
	case sectionTable:
		d.tableSection(r)
	case sectionMemory:
		d.memorySection(r)
	case sectionGlobal:
		d.globalSection(r)
	case sectionExport:
		d.exports(r)
	case sectionStart:
		index := r.index("function", d.functions)
		d.module.Start = &index
	case sectionElement:
		d.elements(r)
	case sectionDataCount:
		n := r.u32("number of data segments")
		d.module.DataCount = &n
	case sectionCode:
		d.code(r)
	case sectionData:
		d.data(r)
	}
}
