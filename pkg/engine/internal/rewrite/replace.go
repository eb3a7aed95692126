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

// wazero 1.12 miscompiles three kinds of instructions for arm64. The code for remainders and for
// i64x2.bitmask writes to the result register more than once, and needs other registers in between.
// If registers are short, the first write is spilled to the stack, and never read back correctly. A
// branch that compares the result of an and with zero sets the flags with an instruction that does
// not support "greater than zero" or unsigned "less than". The rewrite therefore replaces these
// instructions with others that have the same results and traps. They cost the same as the replaced
// ones, because fuel must not depend on the processor.

// replaced is the set of types for which a function needs scratch locals.
type replaced uint8

const (
	replacedI32 replaced = 1 << iota
	replacedI64
	replacedV128
)

// scratchOf returns the scratch locals that the replacement of an instruction needs, or 0.
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

// isReplaced reports whether an instruction is replaced.
func isReplaced(op wasm.Opcode) bool { return isAnd(op) || scratchOf(op) != 0 }

// isAnd reports whether a comparison of an instruction's result may be miscompiled. The code alone
// does not show which values are compared, because both may come from locals, so every and is
// replaced.
func isAnd(op wasm.Opcode) bool { return op == wasm.OpI32And || op == wasm.OpI64And }

// replace is called for every instruction, after the instruction was added to the path.
func (c *coster) replace(in *wasm.Instruction) {
	if isReplaced(in.Op) {
		c.replaced |= scratchOf(in.Op)
		c.sites = append(c.sites,
			site{kind: siteReplaced, start: uint32(in.Start), end: uint32(in.End), op: in.Op})
	}
}

// replacer holds the scratch locals of a function: a dividend and a divisor for each integer type,
// and a vector.
type replacer struct{ i32, i64, v128 uint32 }

// declare adds the scratch locals to a body. parameters is the number of the function's parameters.
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

// append appends the replacement of an instruction. An or of an and's result with zero changes
// nothing, but hides the and from a comparison.
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

// appendDivisor sets the second of two scratch locals to the divisor on the stack, but to 1 instead
// of -1. Both divide every number without a remainder, but the smallest number can only be divided
// by 1.
func appendDivisor(out []byte, local uint32, constant, equal wasm.Opcode) []byte {
	out = appendLocals(out, wasm.OpLocalSet, local+1)
	out = appendLocals(append(out, byte(constant), 1), wasm.OpLocalGet, local+1, local+1)
	out = append(wasm.AppendInt64(append(out, byte(constant)), -1), byte(equal),
		byte(wasm.OpSelect))
	return appendLocals(out, wasm.OpLocalSet, local+1)
}

// appendRemainder appends a - a/b*b, with a on the stack and b in the second of two scratch locals.
func appendRemainder(out []byte, local uint32, divide, multiply, subtract wasm.Opcode) []byte {
	out = appendLocals(out, wasm.OpLocalTee, local)
	out = append(appendLocals(out, wasm.OpLocalGet, local, local+1), byte(divide))
	return append(appendLocals(out, wasm.OpLocalGet, local+1), byte(multiply), byte(subtract))
}

// appendBitmask appends code that combines the sign bits of two lanes.
func (r *replacer) appendBitmask(out []byte) []byte {
	lane := func(n byte) {
		out = append(wasm.AppendUint32(append(out, byte(wasm.OpI64x2ExtractLane>>8)),
			uint32(wasm.OpI64x2ExtractLane&0xff)), n)
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
