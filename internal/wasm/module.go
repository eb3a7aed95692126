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

// Module is a module taken apart by section. Byte slices in it alias the input of [Decode]; replace them, do not
// write into them.
type Module struct {
	Types   []FuncType
	Imports []Import
	// Functions holds, for each function that the module defines, the index of its type.
	Functions []uint32
	Tables    []Table
	// Memories has at most one entry: more is the multi-memory proposal.
	Memories []Limits
	Globals  []Global
	Exports  []Export
	// Start is the index of the start function, or nil.
	Start    *uint32
	Elements []Element
	// DataCount is the content of the data count section, or nil.
	DataCount *uint32
	// Bodies are the bodies of Functions, in the same order.
	Bodies []Body
	Data   []DataSegment
	// Custom sections in the order of the file.
	Custom []CustomSection

	// present marks the sections that the input had, so that empty ones survive.
	present [sectionCount]bool
	// compact is whether imports were written together.
	compact bool
}

// HasCompactImports is whether the module was read from a binary that writes several imports
// of one module together (compact import section). They are taken apart.
func (m *Module) HasCompactImports() bool { return m.compact }

// ExternKind says what an import or export is.
type ExternKind byte

// The kinds of imports and exports, as they are encoded.
const (
	ExternFunction ExternKind = 0
	ExternTable    ExternKind = 1
	ExternMemory   ExternKind = 2
	ExternGlobal   ExternKind = 3
)

// String is the name of k in the text format.
func (k ExternKind) String() string {
	switch k {
	case ExternFunction:
		return "func"
	case ExternTable:
		return "table"
	case ExternMemory:
		return "memory"
	case ExternGlobal:
		return "global"
	}
	return "unknown kind"
}

// Import is one import. Which of the last four fields counts depends on Kind.
type Import struct {
	Module, Name string
	Kind         ExternKind
	// TypeIndex is the type of an imported function.
	TypeIndex uint32
	Table     TableType
	// Memory limits count pages of 64 KiB.
	Memory Limits
	Global GlobalType
}

// Table is a table that the module defines.
type Table struct {
	Type TableType
	// Init is the expression that every entry starts with, or nil for null.
	Init ConstExpr
}

// Global is a global that the module defines.
type Global struct {
	Type GlobalType
	Init ConstExpr
}

// Export is one export.
type Export struct {
	Name  string
	Kind  ExternKind
	Index uint32
}

// SegmentMode says when a data or element segment is used.
type SegmentMode uint8

// Active segments are copied when the module is instantiated, passive ones by instructions; declarative element
// segments only declare that references to their functions are taken.
const (
	SegmentActive SegmentMode = iota
	SegmentPassive
	SegmentDeclarative
)

// Element is an element segment: references for a table. Either Functions or Exprs is in use.
type Element struct {
	Mode SegmentMode
	// Table and Offset are those of an active segment.
	Table  uint32
	Offset ConstExpr
	Type   ValueType
	// Functions are function indices, unless UsesExprs.
	Functions []uint32
	// UsesExprs says that Exprs hold the entries.
	UsesExprs bool
	Exprs     []ConstExpr

	// explicit marks an active segment that spells out table index and type although it need not.
	explicit bool
}

// DataSegment is a data segment: bytes for the memory.
type DataSegment struct {
	// Mode is active or passive.
	Mode SegmentMode
	// Offset is that of an active segment.
	Offset ConstExpr
	Bytes  []byte

	// explicit marks an active segment that spells out the memory index although it need not.
	explicit bool
}

// Body is a function body.
type Body struct {
	// LocalGroups is the number of local declarations that LocalDecls encodes.
	LocalGroups uint32
	// LocalDecls are the encoded local declarations, without their number.
	LocalDecls []byte
	// Locals is the number of locals declared, parameters not counted.
	Locals uint32
	// Code is the encoded expression, with its final end.
	Code []byte
	// Offset is the position of Code in the input.
	Offset int
}

// CustomSection is a custom section.
type CustomSection struct {
	Name string
	// Payload is what follows the name.
	Payload []byte

	// after is the section in whose wake this one stands.
	after sectionID
}

// ImportedCount is the number of imports of a kind, and so the index of the first thing of that kind that the module
// defines itself.
func (m *Module) ImportedCount(kind ExternKind) int {
	n := 0
	for i := range m.Imports {
		if m.Imports[i].Kind == kind {
			n++
		}
	}
	return n
}

// FunctionTypes returns the type index of every function, imported ones first: the function index space.
func (m *Module) FunctionTypes() []uint32 {
	types := make([]uint32, 0, len(m.Imports)+len(m.Functions))
	for i := range m.Imports {
		if m.Imports[i].Kind == ExternFunction {
			types = append(types, m.Imports[i].TypeIndex)
		}
	}
	return append(types, m.Functions...)
}

// GlobalTypes returns the type of every global, imported ones first: the global index space.
func (m *Module) GlobalTypes() []GlobalType {
	types := make([]GlobalType, 0, len(m.Globals))
	for i := range m.Imports {
		if m.Imports[i].Kind == ExternGlobal {
			types = append(types, m.Imports[i].Global)
		}
	}
	for i := range m.Globals {
		types = append(types, m.Globals[i].Type)
	}
	return types
}

// TableTypes returns the type of every table, imported ones first: the table index space.
func (m *Module) TableTypes() []TableType {
	var types []TableType
	for i := range m.Imports {
		if m.Imports[i].Kind == ExternTable {
			types = append(types, m.Imports[i].Table)
		}
	}
	for i := range m.Tables {
		types = append(types, m.Tables[i].Type)
	}
	return types
}

// DropData removes the data section and the data count section, which no instruction may refer to any more.
func (m *Module) DropData() {
	m.Data, m.DataCount = nil, nil
	m.present[sectionData], m.present[sectionDataCount] = false, false
}

// MapLocals replaces the types of the locals that the body declares.
func (b *Body) MapLocals(replace func(ValueType) ValueType) {
	r := &reader{buf: b.LocalDecls, end: len(b.LocalDecls)}
	var decls []byte
	for range b.LocalGroups {
		n := r.u32("number of locals")
		decls = AppendValueType(AppendUint32(decls, n), replace(r.valueType("type of the locals")))
	}
	b.LocalDecls = decls
}

// DeclareLocals adds n locals of type t behind those that the body has.
func (b *Body) DeclareLocals(n uint32, t ValueType) {
	decls := append([]byte(nil), b.LocalDecls...)
	b.LocalDecls = AppendValueType(AppendUint32(decls, n), t)
	b.LocalGroups++
	b.Locals += n
}
