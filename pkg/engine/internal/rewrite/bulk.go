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

// Bulk operations pay by length after the operation. An operation that traps pays nothing, and
// traps as it would have without the rewrite.
const (
	// bytesPerUnitLog2 makes 8 bytes of memory one unit. Writing them takes the time of a few
	// instructions if their page is new.
	bytesPerUnitLog2 = 3
	// unitsPerPageLog2 makes growing memory by a page as expensive as filling it.
	unitsPerPageLog2 = 16 - bytesPerUnitLog2
	// growCost is the cost of asking the host to grow a memory or table, granted or not, which
	// takes microseconds.
	growCost = 500
)

// scratchLocals is the number of i32 locals added to a function with bulk operations, for the
// operands, or for the operand and the result of a grow.
const scratchLocals = 3

func isBulk(op wasm.Opcode) bool {
	switch op {
	case wasm.OpMemoryInit, wasm.OpMemoryCopy, wasm.OpMemoryFill, wasm.OpMemoryGrow,
		wasm.OpTableInit, wasm.OpTableCopy, wasm.OpTableFill, wasm.OpTableGrow:
		return true
	}
	return false
}

// appendBulk appends a bulk operation and its charge. All of them have their length on top of the
// stack.
func (e *emitter) appendBulk(out []byte, s *site, instruction []byte) []byte {
	switch s.op {
	case wasm.OpMemoryGrow, wasm.OpTableGrow:
		return e.appendGrow(out, s.op, instruction)
	}
	first, second, length := e.scratch, e.scratch+1, e.scratch+2
	function, divisible := e.portion(s)
	if !divisible {
		out = appendLocals(out, wasm.OpLocalTee, length)
		return e.appendLengthCharge(append(out, instruction...), s.op, length)
	}
	out = appendLocals(out, wasm.OpLocalSet, length, second, first)
	out = appendLocals(out, wasm.OpLocalGet, length)
	out = wasm.AppendInt64(append(out, byte(wasm.OpI32Const)), portionBytes)
	// The short case comes first, for the reason given at appendPay.
	out = append(out, byte(wasm.OpI32LeU), byte(wasm.OpIf), wasm.BlockTypeEmpty)
	out = appendLocals(out, wasm.OpLocalGet, first, second, length)
	out = e.appendLengthCharge(append(out, instruction...), s.op, length)
	out = append(out, byte(wasm.OpElse))
	out = appendLocals(out, wasm.OpLocalGet, first, second, length)
	out = wasm.AppendUint32(append(out, byte(wasm.OpCall)), function)
	return append(out, byte(wasm.OpEnd))
}

// appendGrow appends a grow and its charge. A grow pays by length only if it succeeds: a guest may
// try a large one and fall back to a smaller one.
func (e *emitter) appendGrow(out []byte, op wasm.Opcode, instruction []byte) []byte {
	operand, result := e.scratch, e.scratch+1
	out = e.appendSlack(appendLocals(out, wasm.OpLocalTee, operand), growCost)
	out = append(out, instruction...)
	out = appendLocals(out, wasm.OpLocalTee, result)
	out = wasm.AppendInt64(append(out, byte(wasm.OpI32Const)), -1)
	out = append(out, byte(wasm.OpI32Ne), byte(wasm.OpIf), wasm.BlockTypeEmpty)
	out = e.appendLengthCharge(out, op, operand)
	out = append(out, byte(wasm.OpEnd))
	return appendLocals(out, wasm.OpLocalGet, result)
}

// appendLengthCharge appends a charge for the length in a local.
func (e *emitter) appendLengthCharge(out []byte, op wasm.Opcode, length uint32) []byte {
	e.charges++
	return e.appendPay(e.appendLength(e.appendFuel(out, wasm.OpGlobalGet), op, length))
}

// appendLength appends code that puts the units for a length on the stack.
func (e *emitter) appendLength(out []byte, op wasm.Opcode, length uint32) []byte {
	out = append(appendLocals(out, wasm.OpLocalGet, length), byte(wasm.OpI64ExtendI32U))
	switch op {
	case wasm.OpTableInit, wasm.OpTableCopy, wasm.OpTableFill, wasm.OpTableGrow:
		return out // references take 8 bytes
	case wasm.OpMemoryGrow:
		out = wasm.AppendInt64(append(out, byte(wasm.OpI64Const)), unitsPerPageLog2)
		return append(out, byte(wasm.OpI64Shl))
	}
	out = wasm.AppendInt64(append(out, byte(wasm.OpI64Const)), bytesPerUnitLog2)
	return append(out, byte(wasm.OpI64ShrU))
}

// appendLocals appends an instruction for each of several locals.
func appendLocals(out []byte, op wasm.Opcode, locals ...uint32) []byte {
	for _, local := range locals {
		out = wasm.AppendUint32(append(out, byte(op)), local)
	}
	return out
}
