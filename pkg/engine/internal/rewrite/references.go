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

package rewrite

import (
	"bytes"
	"fmt"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// lowerCode and lowerDeclarations remove the proposal of typed function references from a module.
// References to functions of any type become plain function references. The proposal's instructions
// become equivalent ones: a call of a reference becomes a call through an added table, which
// compares the type at the call. lowerCode adds the table if there are such calls, and returns its
// index. Only the call that put a reference there ever uses it.
//
// Null references of non-function types are lowered, too. However, instructions that test a
// reference for null support only functions: the compiler refuses a module that has them for other
// types.
//
// Types that differed only in such references become one. The module's own table calls, which also
// compare types, then succeed where they would have trapped. The callee detects this when it uses
// the reference.
func lowerCode(m *wasm.Module) (scratchTable *uint32, err error) {
	types := m.FunctionTypes()
	imported := len(types) - len(m.Functions)
	l := &lowering{
		cursor: m.Cursor(),
		table:  uint32(m.ImportedCount(wasm.ExternTable) + len(m.Tables)),
	}
	for i := range m.Bodies {
		if err := l.body(&m.Bodies[i], uint32(len(m.Types[types[imported+i]].Params))); err != nil {
			return nil, fmt.Errorf("function %d: %w", imported+i, err)
		}
	}
	if !l.calls {
		return nil, nil
	}
	if l.used > l.table {
		// The added table must not stand in for a missing one.
		return nil, &wasm.Error{
			Offset:  l.usedAt,
			Message: fmt.Sprintf("unknown table %d, expected an index below %d", l.used-1, l.table),
		}
	}
	m.Tables = append(m.Tables, wasm.Table{Type: wasm.TableType{
		Element: wasm.ValueType{Code: wasm.FuncRef},
		Limits:  wasm.Limits{Min: 1, Max: 1, HasMax: true},
	}})
	return &l.table, nil
}

// lowerType returns the type without the proposal's additions.
func lowerType(t wasm.ValueType) wasm.ValueType {
	switch {
	case t.Code != wasm.Ref && t.Code != wasm.RefNull:
		return t
	case t.IsFunctionReference():
		return wasm.ValueType{Code: wasm.FuncRef}
	}
	return wasm.ValueType{Code: wasm.ExternRef}
}

func lowerTypes(types []wasm.ValueType) {
	for i := range types {
		types[i] = lowerType(types[i])
	}
}

// isTyped reports whether an instruction belongs to the proposal or contains one of its types.
func isTyped(in *wasm.Instruction, cursor *wasm.Cursor) bool {
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		if in.X != wasm.NoType || in.Y == 0 {
			return false
		}
	case wasm.OpSelectTyped, wasm.OpRefNull:
	case wasm.OpCallRef, wasm.OpReturnCallRef, wasm.OpRefAsNonNull, wasm.OpBrOnNull,
		wasm.OpBrOnNonNull:
		return true
	default:
		return false
	}
	t := cursor.ValueType()
	return t != lowerType(t)
}

// mayHaveTyped reports whether the locals of a body may have one of the proposal's types. It may
// mistake numbers for types.
func mayHaveTyped(body *wasm.Body) bool {
	return bytes.IndexByte(body.LocalDecls, wasm.Ref) >= 0 ||
		bytes.IndexByte(body.LocalDecls, wasm.RefNull) >= 0
}

// lowerDeclarations lowers everything but code.
func lowerDeclarations(m *wasm.Module) error {
	for i := range m.Types {
		lowerTypes(m.Types[i].Params)
		lowerTypes(m.Types[i].Results)
	}
	for i := range m.Imports {
		im := &m.Imports[i]
		im.Table.Element = lowerType(im.Table.Element)
		im.Global.Type = lowerType(im.Global.Type)
	}
	for i := range m.Globals {
		g := &m.Globals[i]
		g.Type.Type = lowerType(g.Type.Type)
		g.Init = lowerNull(g.Init, g.Type.Type)
	}
	for i := range m.Elements {
		e := &m.Elements[i]
		e.Type = lowerType(e.Type)
		for j := range e.Exprs {
			e.Exprs[j] = lowerNull(e.Exprs[j], e.Type)
		}
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		t.Type.Element = lowerType(t.Type.Element)
		if len(t.Init) > 0 && t.Init[0] != byte(wasm.OpRefNull) {
			return &wasm.UnsupportedError{
				Proposal: "function-references",
				Feature:  fmt.Sprintf("initializer of table %d", i),
			}
		}
		t.Init = nil
	}
	return nil
}

// lowerNull lowers a constant expression of a type, if it is a null reference.
func lowerNull(e wasm.ConstExpr, t wasm.ValueType) wasm.ConstExpr {
	if len(e) == 0 || e[0] != byte(wasm.OpRefNull) {
		return e
	}
	return wasm.ConstExpr{byte(wasm.OpRefNull), t.Code, byte(wasm.OpEnd)}
}

// lowering walks over the bodies of a module.
type lowering struct {
	cursor *wasm.Cursor
	// table is the index of the table that is added if there are calls.
	table uint32
	calls bool
	// used is the highest index of a table that code uses, plus one, and usedAt the place.
	used   uint32
	usedAt int

	// reference is the current body's local that temporarily holds a reference.
	reference uint32
	needed    bool
	out       []byte
	copied    int
}

// body lowers one function.
func (l *lowering) body(body *wasm.Body, params uint32) error {
	l.reference, l.needed, l.out, l.copied = params+body.Locals, false, nil, 0
	body.MapLocals(lowerType)
	l.cursor.Reset(body, int(params))
	for in := (wasm.Instruction{}); l.cursor.Next(&in); {
		l.noteTables(body, &in)
		l.instruction(body.Code, &in)
	}
	if err := l.cursor.Err(); err != nil {
		return err
	}
	if l.copied > 0 {
		body.Code = append(l.out, body.Code[l.copied:]...)
	}
	if l.needed {
		body.DeclareLocals(1, wasm.ValueType{Code: wasm.FuncRef})
	}
	return nil
}

// noteTables records the tables that an instruction uses, because nothing has checked yet that they
// exist.
func (l *lowering) noteTables(body *wasm.Body, in *wasm.Instruction) {
	var used uint32
	switch in.Op {
	case wasm.OpTableGet, wasm.OpTableSet, wasm.OpTableGrow, wasm.OpTableSize, wasm.OpTableFill:
		used = in.X
	case wasm.OpCallIndirect, wasm.OpReturnCallIndirect, wasm.OpTableInit:
		used = in.Y
	case wasm.OpTableCopy:
		used = max(in.X, in.Y)
	default:
		return
	}
	if used >= l.used {
		l.used, l.usedAt = used+1, body.Offset+in.Start
	}
}

// replace replaces an instruction with code.
func (l *lowering) replace(code []byte, in *wasm.Instruction, with ...byte) {
	l.out = append(append(l.out, code[l.copied:in.Start]...), with...)
	l.copied = in.End
}

// local encodes an instruction on the local that holds the reference.
func (l *lowering) local(op wasm.Opcode) []byte {
	l.needed = true
	return wasm.AppendUint32([]byte{byte(op)}, l.reference)
}

// isNull saves a reference in the local, and leaves on the stack whether it is null.
func (l *lowering) isNull() []byte {
	return append(l.local(wasm.OpLocalTee), byte(wasm.OpRefIsNull))
}

func (l *lowering) instruction(code []byte, in *wasm.Instruction) {
	switch in.Op {
	case wasm.OpBlock, wasm.OpLoop, wasm.OpIf:
		if in.X == wasm.NoType && in.Y == 1 {
			l.lowerImmediate(code, in, byte(in.Op))
		}
	case wasm.OpSelectTyped:
		l.lowerImmediate(code, in, byte(in.Op), wasm.MaxSelectTypes)
	case wasm.OpRefNull:
		l.lowerImmediate(code, in, byte(in.Op))
	case wasm.OpCallRef:
		l.call(code, in, wasm.OpCallIndirect)
	case wasm.OpReturnCallRef:
		l.call(code, in, wasm.OpReturnCallIndirect)
	case wasm.OpRefAsNonNull:
		with := append(l.isNull(), byte(wasm.OpIf), wasm.BlockTypeEmpty, byte(wasm.OpUnreachable),
			byte(wasm.OpEnd))
		l.replace(code, in, append(with, l.local(wasm.OpLocalGet)...)...)
	case wasm.OpBrOnNull:
		with := wasm.AppendUint32(append(l.isNull(), byte(wasm.OpBrIf)), in.X)
		l.replace(code, in, append(with, l.local(wasm.OpLocalGet)...)...)
	case wasm.OpBrOnNonNull:
		with := append(l.local(wasm.OpLocalTee), l.local(wasm.OpLocalGet)...)
		with = wasm.AppendUint32(append(with, byte(wasm.OpRefIsNull), byte(wasm.OpI32Eqz),
			byte(wasm.OpBrIf)), in.X)
		l.replace(code, in, append(with, byte(wasm.OpDrop))...)
	}
}

// lowerImmediate lowers the type in an instruction, which is its last immediate.
func (l *lowering) lowerImmediate(code []byte, in *wasm.Instruction, before ...byte) {
	if t := l.cursor.ValueType(); t != lowerType(t) {
		l.replace(code, in, append(before, lowerType(t).Code)...)
	}
}

// call turns a call of a reference into one through the table.
func (l *lowering) call(code []byte, in *wasm.Instruction, op wasm.Opcode) {
	l.calls = true
	with := append(l.local(wasm.OpLocalSet), byte(wasm.OpI32Const), 0)
	with = append(with, l.local(wasm.OpLocalGet)...)
	with = wasm.AppendUint32(append(with, byte(wasm.OpTableSet)), l.table)
	with = append(with, byte(wasm.OpI32Const), 0, byte(op))
	with = wasm.AppendUint32(wasm.AppendUint32(with, in.X), l.table)
	l.replace(code, in, with...)
}
