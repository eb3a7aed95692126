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

import "github.com/wasm-admission/wasm-admission/pkg/engine/wasm"

// Bulk operations pay by length, behind the operation: one that traps pays nothing and traps as it would have, and a
// single one is bounded by the size of the memory or table.
const (
	// bytesPerUnitLog2 makes 64 bytes of memory one unit.
	bytesPerUnitLog2 = 6
	// entriesPerUnitLog2 makes 8 entries of a table one unit: they are references of 8 bytes.
	entriesPerUnitLog2 = 3
	// unitsPerPageLog2 makes a page of grown memory as dear as filling it.
	unitsPerPageLog2 = 16 - bytesPerUnitLog2
	// growCost is for asking the host to grow a memory or table, granted or not: it takes microseconds.
	growCost = 500
)

// scratchLocals is the number of i32 locals that a function with bulk operations gets in addition: the operand, and
// the result of a grow.
const scratchLocals = 2

func isBulk(op wasm.Opcode) bool {
	switch op {
	case wasm.OpMemoryInit, wasm.OpMemoryCopy, wasm.OpMemoryFill, wasm.OpMemoryGrow,
		wasm.OpTableInit, wasm.OpTableCopy, wasm.OpTableFill, wasm.OpTableGrow:
		return true
	}
	return false
}

// appendBulk appends a bulk operation and its charge. All of them have their length on top of the stack. A grow pays
// by length only if it succeeds: a guest may try a large one and fall back to a smaller one.
func (e *emitter) appendBulk(out []byte, op wasm.Opcode, instruction []byte) []byte {
	operand, result := e.scratch, e.scratch+1
	out = wasm.AppendUint32(append(out, byte(wasm.OpLocalTee)), operand)
	out = append(out, instruction...)
	shift, distance := wasm.OpI64ShrU, int64(bytesPerUnitLog2)
	switch op {
	case wasm.OpTableInit, wasm.OpTableCopy, wasm.OpTableFill, wasm.OpTableGrow:
		distance = entriesPerUnitLog2
	case wasm.OpMemoryGrow:
		shift, distance = wasm.OpI64Shl, unitsPerPageLog2
	}
	grows := op == wasm.OpMemoryGrow || op == wasm.OpTableGrow
	if grows {
		out = wasm.AppendUint32(append(out, byte(wasm.OpLocalTee)), result)
		out = wasm.AppendInt64(append(out, byte(wasm.OpI32Const)), -1)
		out = append(out, byte(wasm.OpI32Ne), byte(wasm.OpIf), wasm.BlockTypeEmpty)
	}
	out = e.appendFuel(out, wasm.OpGlobalGet)
	out = wasm.AppendUint32(append(out, byte(wasm.OpLocalGet)), operand)
	out = append(out, byte(wasm.OpI64ExtendI32U))
	out = wasm.AppendInt64(append(out, byte(wasm.OpI64Const)), distance)
	out = append(out, byte(shift))
	out = e.appendPay(out)
	if grows {
		out = append(out, byte(wasm.OpEnd))
		out = wasm.AppendUint32(append(out, byte(wasm.OpLocalGet)), result)
	}
	return out
}
