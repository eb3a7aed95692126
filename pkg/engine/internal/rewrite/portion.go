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
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// portionBytes is the maximum number of bytes that one instruction processes. Functions added by
// the rewrite run longer operations in portions, with a tick after each. Nothing can interrupt an
// instruction, and the first write to a page waits for the kernel. portionBytes must be a multiple
// of the bytes that one unit pays for.
const portionBytes = 512 << 10

// portioned is a function that runs a bulk operation in portions.
type portioned struct {
	op wasm.Opcode
	// segment is the data segment of a memory.init.
	segment uint32
}

// instruction returns the operation in its shortest encoding. wazero's interpreter accepts longer
// encodings only in unreachable code, so the original instruction must not be copied.
func (p portioned) instruction() []byte {
	code := wasm.AppendUint32([]byte{byte(p.op >> 8)}, uint32(p.op&0xff))
	if p.op == wasm.OpMemoryInit {
		code = wasm.AppendUint32(code, p.segment)
	}
	if p.op == wasm.OpMemoryCopy {
		code = append(code, 0)
	}
	return append(code, 0)
}

// portion returns the index of the function that runs an operation in portions, if one is needed.
// Tables have a much lower bound than memories, and a short data segment can initialize only
// little.
func (e *emitter) portion(s *site) (function uint32, divisible bool) {
	p := portioned{op: s.op}
	switch s.op {
	case wasm.OpMemoryFill, wasm.OpMemoryCopy:
	case wasm.OpMemoryInit:
		p.segment = s.x
		if len(e.r.module.Data[s.x].Bytes) <= portionBytes {
			return 0, false
		}
	default:
		return 0, false
	}
	n := slices.Index(e.portioned, p)
	if n < 0 {
		n = len(e.portioned)
		e.portioned = append(e.portioned, p)
	}
	// The function comes after those that the module defines, which the tick has shifted by one.
	return e.r.shift(uint32(len(e.r.functionTypes) + n)), true
}

// The parameters of a portioned function, which are those of the operation, and its local.
const (
	portionTarget = iota
	portionSource // or the value of a fill
	portionLength
	portionNow // length of the current portion
)

// appendPortioned adds the functions that are called.
func (e *emitter) appendPortioned() {
	if len(e.portioned) == 0 {
		return
	}
	i32 := wasm.ValueType{Code: wasm.I32}
	m := e.r.module
	for _, p := range e.portioned {
		body := wasm.Body{Code: e.portionedCode(p)}
		body.DeclareLocals(1, i32)
		m.Functions = append(m.Functions, uint32(len(m.Types)))
		m.Bodies = append(m.Bodies, body)
	}
	m.Types = append(m.Types, wasm.FuncType{Params: []wasm.ValueType{i32, i32, i32}})
}

// portionedCode returns the body of a portioned function. An out-of-bounds operation must not write
// anything, so the code first tries its end with a length of zero. If the end is beyond 4 GiB, the
// code runs the operation unchanged: it traps, or ends exactly there.
func (e *emitter) portionedCode(p portioned) []byte {
	code := []byte{byte(wasm.OpBlock), wasm.BlockTypeEmpty}
	code = appendWraps(code, portionTarget)
	if p.op != wasm.OpMemoryFill {
		code = appendWraps(code, portionSource)
	}
	code = p.appendOperands(code, portionLength)
	code = append(append(code, byte(wasm.OpI32Const), 0), p.instruction()...)
	if p.op == wasm.OpMemoryCopy {
		// Overlapping memory must be moved from the far end.
		code = appendLocals(code, wasm.OpLocalGet, portionTarget, portionSource)
		code = append(code, byte(wasm.OpI32GtU), byte(wasm.OpIf), wasm.BlockTypeEmpty)
		code = append(e.appendBackward(code, p), byte(wasm.OpReturn), byte(wasm.OpEnd))
	}
	code = append(e.appendForward(code, p), byte(wasm.OpReturn), byte(wasm.OpEnd))
	code = appendLocals(code, wasm.OpLocalGet, portionTarget, portionSource, portionLength)
	code = e.appendLengthCharge(append(code, p.instruction()...), p.op, portionLength)
	return append(code, byte(wasm.OpEnd))
}

// appendWraps appends a branch out of the block that is taken if an operand plus the length exceeds
// 32 bits.
func appendWraps(code []byte, operand uint32) []byte {
	code = appendLocals(code, wasm.OpLocalGet, operand, portionLength)
	code = appendLocals(append(code, byte(wasm.OpI32Add)), wasm.OpLocalGet, operand)
	return append(code, byte(wasm.OpI32LtU), byte(wasm.OpBrIf), 0)
}

// appendOperands puts target and source on the stack, each plus the distance in a local. The value
// of a fill stays unchanged.
func (p portioned) appendOperands(code []byte, distance uint32) []byte {
	code = append(appendLocals(code, wasm.OpLocalGet, portionTarget, distance), byte(wasm.OpI32Add))
	code = appendLocals(code, wasm.OpLocalGet, portionSource)
	if p.op != wasm.OpMemoryFill {
		code = append(appendLocals(code, wasm.OpLocalGet, distance), byte(wasm.OpI32Add))
	}
	return code
}

// appendForward appends the loop that works from the beginning.
func (e *emitter) appendForward(code []byte, p portioned) []byte {
	code = appendNow(append(code, byte(wasm.OpLoop), wasm.BlockTypeEmpty))
	code = appendLocals(code, wasm.OpLocalGet, portionTarget, portionSource, portionNow)
	code = e.appendPortionCharge(append(code, p.instruction()...), p.op)
	code = p.appendOperands(code, portionNow)
	code = appendLocals(code, wasm.OpLocalSet, portionSource, portionTarget)
	code = append(appendLocals(code, wasm.OpLocalGet, portionLength, portionNow),
		byte(wasm.OpI32Sub))
	return append(appendLocals(code, wasm.OpLocalTee, portionLength), byte(wasm.OpBrIf), 0,
		byte(wasm.OpEnd))
}

// appendBackward appends the loop that works from the end.
func (e *emitter) appendBackward(code []byte, p portioned) []byte {
	code = appendNow(append(code, byte(wasm.OpLoop), wasm.BlockTypeEmpty))
	code = append(appendLocals(code, wasm.OpLocalGet, portionLength, portionNow),
		byte(wasm.OpI32Sub))
	code = p.appendOperands(appendLocals(code, wasm.OpLocalSet, portionLength), portionLength)
	code = append(appendLocals(code, wasm.OpLocalGet, portionNow), p.instruction()...)
	code = e.appendPortionCharge(code, p.op)
	return append(appendLocals(code, wasm.OpLocalGet, portionLength), byte(wasm.OpBrIf), 0,
		byte(wasm.OpEnd))
}

// appendNow sets the length of the current portion.
func appendNow(code []byte) []byte {
	portion := wasm.AppendInt64([]byte{byte(wasm.OpI32Const)}, portionBytes)
	code = append(appendLocals(code, wasm.OpLocalGet, portionLength), portion...)
	code = append(appendLocals(code, wasm.OpLocalGet, portionLength), portion...)
	code = append(code, byte(wasm.OpI32LtU), byte(wasm.OpSelect))
	return appendLocals(code, wasm.OpLocalSet, portionNow)
}

// appendPortionCharge charges for a portion and calls the tick, whether or not fuel is left.
func (e *emitter) appendPortionCharge(code []byte, op wasm.Opcode) []byte {
	e.charges++
	code = e.appendLength(e.appendFuel(code, wasm.OpGlobalGet), op, portionNow)
	code = e.appendFuel(append(code, byte(wasm.OpI64Sub)), wasm.OpGlobalSet)
	return wasm.AppendUint32(append(code, byte(wasm.OpCall)), e.r.tick())
}
