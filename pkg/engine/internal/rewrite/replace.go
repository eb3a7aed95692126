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

import "github.com/wasm-admission/wasm-admission/internal/wasm"

// wazero 1.12 compiles three kinds of instructions wrongly for arm64. The code of remainders and of i64x2.bitmask writes to
// the register of the result more than once, and needs other registers in between. Where registers are short, what was
// written first goes to the stack, from where it is never read back right. And a branch that compares what and returns with
// zero sets the flags by an instruction that says nothing of what is greater than zero, and of what is less without a
// sign. So other instructions take their place, which do the same and trap for the same reasons. They cost what the
// one did that they replace: fuel does not depend on the processor.

// replaced is a set of the types whose scratch locals a function needs for its replacements.
type replaced uint8

const (
	replacedI32 replaced = 1 << iota
	replacedI64
	replacedV128
)

// scratchOf is what the replacement of an instruction needs, 0 if it is not replaced.
func scratchOf(op wasm.Opcode) replaced {
	switch op {
	case wasm.OpI32RemS, wasm.OpI32RemU:
		return replacedI32
	case wasm.OpI64RemS, wasm.OpI64RemU:
		return replacedI64
	case wasm.OpI64x2Bitmask:
		return replacedV128
	}
	return 0
}

// isReplaced is whether an instruction is replaced.
func isReplaced(op wasm.Opcode) bool { return isAnd(op) || scratchOf(op) != 0 }

// isAnd is whether a comparison of what an instruction returns may be compiled wrongly. Which value is compared with
// which cannot be told from the code alone, as both may come from locals: so each and is replaced.
func isAnd(op wasm.Opcode) bool { return op == wasm.OpI32And || op == wasm.OpI64And }

// replace is called for every instruction, behind what it adds to the path.
func (c *coster) replace(in *wasm.Instruction) {
	if isReplaced(in.Op) {
		c.replaced |= scratchOf(in.Op)
		c.sites = append(c.sites, site{kind: siteReplaced, start: uint32(in.Start), end: uint32(in.End), op: in.Op})
	}
}

// replacer holds the scratch locals of a function: a dividend and a divisor for each type of integers, and a vector.
type replacer struct{ i32, i64, v128 uint32 }

// declare adds the scratch locals to a body whose next local is the one given.
func (r *replacer) declare(body *wasm.Body, parameters uint32, needs replaced) {
	for _, s := range []struct {
		need  replaced
		local *uint32
		count uint32
		code  byte
	}{
		{replacedI32, &r.i32, 2, wasm.I32},
		{replacedI64, &r.i64, 2, wasm.I64},
		{replacedV128, &r.v128, 1, wasm.V128},
	} {
		if needs&s.need != 0 {
			*s.local = parameters + body.Locals
			body.DeclareLocals(s.count, wasm.ValueType{Code: s.code})
		}
	}
}

// append appends what takes the place of an instruction. To or the result of an and with zero changes nothing, but that a
// comparison no longer sees the and.
func (r *replacer) append(out []byte, op wasm.Opcode) []byte {
	switch op {
	case wasm.OpI32And:
		return append(out, byte(op), byte(wasm.OpI32Const), 0, byte(wasm.OpI32Or))
	case wasm.OpI64And:
		return append(out, byte(op), byte(wasm.OpI64Const), 0, byte(wasm.OpI64Or))
	case wasm.OpI32RemS:
		out = appendDivisor(out, r.i32, wasm.OpI32Const, wasm.OpI32Eq)
		return appendRemainder(out, r.i32, wasm.OpI32DivS, wasm.OpI32Mul, wasm.OpI32Sub)
	case wasm.OpI32RemU:
		out = appendLocals(out, wasm.OpLocalSet, r.i32+1)
		return appendRemainder(out, r.i32, wasm.OpI32DivU, wasm.OpI32Mul, wasm.OpI32Sub)
	case wasm.OpI64RemS:
		out = appendDivisor(out, r.i64, wasm.OpI64Const, wasm.OpI64Eq)
		return appendRemainder(out, r.i64, wasm.OpI64DivS, wasm.OpI64Mul, wasm.OpI64Sub)
	case wasm.OpI64RemU:
		out = appendLocals(out, wasm.OpLocalSet, r.i64+1)
		return appendRemainder(out, r.i64, wasm.OpI64DivU, wasm.OpI64Mul, wasm.OpI64Sub)
	default:
		return r.appendBitmask(out)
	}
}

// appendDivisor sets the second of two scratch locals to the divisor on the stack, or to 1 in place of -1: all numbers
// leave nothing by either, and the smallest one can be divided by 1.
func appendDivisor(out []byte, local uint32, constant, equal wasm.Opcode) []byte {
	out = appendLocals(out, wasm.OpLocalSet, local+1)
	out = appendLocals(append(out, byte(constant), 1), wasm.OpLocalGet, local+1, local+1)
	out = append(wasm.AppendInt64(append(out, byte(constant)), -1), byte(equal), byte(wasm.OpSelect))
	return appendLocals(out, wasm.OpLocalSet, local+1)
}

// appendRemainder appends a - a/b*b, of a on the stack and b in the second of two scratch locals.
func appendRemainder(out []byte, local uint32, divide, multiply, subtract wasm.Opcode) []byte {
	out = appendLocals(out, wasm.OpLocalTee, local)
	out = append(appendLocals(out, wasm.OpLocalGet, local, local+1), byte(divide))
	return append(appendLocals(out, wasm.OpLocalGet, local+1), byte(multiply), byte(subtract))
}

// appendBitmask appends what puts the sign bits of two lanes side by side.
func (r *replacer) appendBitmask(out []byte) []byte {
	lane := func(n byte) {
		out = append(wasm.AppendUint32(append(out, byte(wasm.OpI64x2ExtractLane>>8)), uint32(wasm.OpI64x2ExtractLane&0xff)), n)
	}
	shift := func(bits int64) {
		out = append(appendConst(out, bits), byte(wasm.OpI64ShrU))
	}
	out = appendLocals(out, wasm.OpLocalTee, r.v128)
	lane(0)
	shift(63)
	out = appendLocals(out, wasm.OpLocalGet, r.v128)
	lane(1)
	shift(62)
	out = append(appendConst(out, 2), byte(wasm.OpI64And))
	return append(out, byte(wasm.OpI64Or), byte(wasm.OpI32WrapI64))
}
