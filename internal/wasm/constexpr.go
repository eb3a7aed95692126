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

// ConstExpr is an encoded constant expression, including its end. It is nil where an optional
// expression is missing.
type ConstExpr []byte

// constExpr reads a constant expression of the core specification, or with i32 and i64 add, sub and
// mul from the extended constant expressions. It checks indices, but not types.
func (d *decoder) constExpr(r *reader) ConstExpr {
	if r.err != nil {
		return nil
	}
	c := Cursor{
		code:      r.buf[:r.end],
		pos:       r.pos,
		depth:     1,
		ifs:       []bool{false},
		open:      true,
		types:     uint32(len(d.module.Types)),
		functions: uint32(d.functions),
		globals:   uint32(len(d.globals)),
	}
	start := r.pos
	var in Instruction
	for n := 0; c.Next(&in); n++ {
		if n > MaxConstInstructions {
			r.failAt(in.Start, "constant expression longer than %d instructions",
				MaxConstInstructions)
			return nil
		}
		if !constant(in.Op) {
			r.failAt(in.Start, "instruction %#x, expected a constant expression", uint16(in.Op))
			return nil
		}
	}
	r.pos = c.pos
	if c.err != nil {
		r.err = c.err
		return nil
	}
	return ConstExpr(r.buf[start:r.pos:r.pos])
}

// reference refuses an expression that yields a plain funcref where a more specific reference type
// t is expected. The engine normally checks types. But wazero 1.12 takes any funcref in a constant
// expression for a reference to function 0 (validateConstExpression in its internal/wasm), and a
// rewrite that adds an import may change what function 0 is.
func (d *decoder) reference(r *reader, at int, t ValueType, e ConstExpr) {
	plain := ValueType{Code: RefNull, Heap: HeapFunc}
	if r.err != nil || t.Code != Ref && t.Code != RefNull || t == plain {
		return
	}
	c := e.cursor()
	var in Instruction
	c.Next(&in)
	switch in.Op {
	case OpRefNull:
		if heap, _, _ := sleb(e, 1, 33); heap != HeapFunc {
			return
		}
	case OpGlobalGet:
		if from := d.globals[in.X].Type; from != plain && from.Code != FuncRef {
			return
		}
	default:
		return
	}
	r.failAt(at, "constant expression of type funcref, expected %s %d", t, t.Heap)
}

// constant reports whether an instruction is allowed in a constant expression.
func constant(op Opcode) bool {
	switch op {
	case OpI32Const, OpI64Const, OpF32Const, OpF64Const, OpV128Const, OpGlobalGet, OpRefNull,
		OpRefFunc, OpEnd,
		OpI32Add, OpI32Sub, OpI32Mul, OpI64Add, OpI64Sub, OpI64Mul:
		return true
	}
	return false
}

// I32Const returns the expression that yields v.
func I32Const(v int32) ConstExpr {
	return append(AppendInt64([]byte{byte(OpI32Const)}, int64(v)), byte(OpEnd))
}

// I64Const returns the expression that yields v.
func I64Const(v int64) ConstExpr {
	return append(AppendInt64([]byte{byte(OpI64Const)}, v), byte(OpEnd))
}

// I32 returns the value of an expression that consists of one i32.const. It returns false for any
// other expression.
func (e ConstExpr) I32() (int32, bool) {
	if len(e) < 3 || e[0] != byte(OpI32Const) {
		return 0, false
	}
	v, pos, status := sleb(e, 1, 32)
	if status != lebOK || pos != len(e)-1 || e[pos] != byte(OpEnd) {
		return 0, false
	}
	return int32(v), true
}

// cursor walks a decoded expression. Every index in it is known to exist.
func (e ConstExpr) cursor() *Cursor {
	const unbounded = ^uint32(0)
	return &Cursor{
		code:      e,
		depth:     1,
		ifs:       []bool{false},
		types:     unbounded,
		functions: unbounded,
		globals:   unbounded,
	}
}

// IsExtended reports whether e computes with an instruction of the extended constant expressions.
func (e ConstExpr) IsExtended() bool {
	if e == nil {
		return false
	}
	c := e.cursor()
	for in := (Instruction{}); c.Next(&in); {
		switch in.Op {
		case OpI32Add, OpI32Sub, OpI32Mul, OpI64Add, OpI64Sub, OpI64Mul:
			return true
		}
	}
	return false
}

// Functions calls yield for the function index of every ref.func in e.
func (e ConstExpr) Functions(yield func(index uint32)) {
	if e == nil {
		return
	}
	c := e.cursor()
	for in := (Instruction{}); c.Next(&in); {
		if in.Op == OpRefFunc {
			yield(in.X)
		}
	}
}

// RenumberFunctions returns e with renumber applied to every function index. It returns e itself if
// there are none.
func (e ConstExpr) RenumberFunctions(renumber func(index uint32) uint32) ConstExpr {
	var out ConstExpr
	copied := 0
	c := e.cursor()
	for in := (Instruction{}); c.Next(&in); {
		if in.Op == OpRefFunc {
			out = append(out, e[copied:in.Start]...)
			out = AppendUint32(append(out, byte(OpRefFunc)), renumber(in.X))
			copied = in.End
		}
	}
	if copied == 0 {
		return e
	}
	return append(out, e[copied:]...)
}
