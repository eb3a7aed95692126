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

// Module is a decoded module. Its byte slices alias the input of [Decode]: replace them, but do not
// write into them.
type Module struct {
	Types   []FuncType
	Imports []Import
	// Functions holds, for each function that the module defines, the index of its type.
	Functions []uint32
	Tables    []Table
	// Memories has at most one entry. More would be the multi-memory proposal.
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
	// Custom holds the custom sections in the order of the file.
	Custom []CustomSection

	// present marks the sections that the input had, so that empty ones survive.
	present [sectionCount]bool
	// compact reports whether the input encoded imports together.
	compact bool
}

// HasCompactImports reports whether the module's binary encodes several imports of one module
// together (compact import section). Decode splits these imports.
func (m *Module) HasCompactImports() bool { return m.compact }

// ExternKind is the kind of an import or export.
type ExternKind byte

// The kinds of imports and exports, as they are encoded.
const (
	ExternFunction ExternKind = 0
	ExternTable    ExternKind = 1
	ExternMemory   ExternKind = 2
	ExternGlobal   ExternKind = 3
)

// String returns the name of k in the text format.
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

// Import is one import. Kind decides which of the last four fields is valid.
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

// Instantiating the module copies active segments. Instructions copy passive ones. Declarative
// element segments only declare that code takes references to their functions.
const (
	SegmentActive SegmentMode = iota
	SegmentPassive
	SegmentDeclarative
)

// Element is an element segment: references for a table. Either Functions or Exprs is in use.
type Element struct {
	Mode SegmentMode
	// Table and Offset are valid for an active segment.
	Table  uint32
	Offset ConstExpr
	Type   ValueType
	// Functions are function indices, unless UsesExprs.
	Functions []uint32
	// UsesExprs says that Exprs hold the entries.
	UsesExprs bool
	Exprs     []ConstExpr

	// explicit marks an active segment that encodes its table index and type without need.
	explicit bool
}

// DataSegment is a data segment: bytes for the memory.
type DataSegment struct {
	// Mode is active or passive.
	Mode SegmentMode
	// Offset is valid for an active segment.
	Offset ConstExpr
	Bytes  []byte

	// explicit marks an active segment that encodes its memory index without need.
	explicit bool
}

// Body is a function body.
type Body struct {
	// LocalGroups is the number of local declarations that LocalDecls encodes.
	LocalGroups uint32
	// LocalDecls are the encoded local declarations, without their number.
	LocalDecls []byte
	// Locals is the number of declared locals, without parameters.
	Locals uint32
	// Code is the encoded expression, including its final end.
	Code []byte
	// Offset is the position of Code in the input.
	Offset int
}

// CustomSection is a custom section.
type CustomSection struct {
	Name string
	// Payload is the content after the name.
	Payload []byte

	// after is the section that this one follows.
	after sectionID
}

// ImportedCount returns the number of imports of a kind. This is also the index of the module's own
// first item of that kind.
func (m *Module) ImportedCount(kind ExternKind) int {
	n := 0
	for i := range m.Imports {
		if m.Imports[i].Kind == kind {
			n++
		}
	}
	return n
}

// FunctionTypes returns the type indices of the function index space: the imported functions, then
// the module's own.
func (m *Module) FunctionTypes() []uint32 {
	types := make([]uint32, 0, len(m.Imports)+len(m.Functions))
	for i := range m.Imports {
		if m.Imports[i].Kind == ExternFunction {
			types = append(types, m.Imports[i].TypeIndex)
		}
	}
	return append(types, m.Functions...)
}

// GlobalTypes returns the types of the global index space: the imported globals, then the module's
// own.
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

// TableTypes returns the types of the table index space: the imported tables, then the module's
// own.
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

// DropData removes the data section and the data count section. No instruction may refer to them.
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

// DeclareLocals adds n locals of type t after the existing locals of the body.
func (b *Body) DeclareLocals(n uint32, t ValueType) {
	decls := append([]byte(nil), b.LocalDecls...)
	b.LocalDecls = AppendValueType(AppendUint32(decls, n), t)
	b.LocalGroups++
	b.Locals += n
}
