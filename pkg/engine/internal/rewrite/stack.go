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

const (
	// frameBytes is the size of every frame: the return address, saved registers, and arguments
	// that do not fit in registers.
	frameBytes = 64
	// slotBytes is the size of a local, or of a value that outlives a call.
	slotBytes = 8
	// codePerSlotLog2 makes 16 bytes of code one slot. Making a value, calling, and using the value
	// take at least five bytes, and little code is of that kind.
	codePerSlotLog2 = 4
)

// MaxStackBytes is the maximum and the initial value of the stack global.
const MaxStackBytes = 1 << 30

// frame estimates the stack that a call of a function takes, without its callees. The engine
// determines the size of frames and does not report it. The estimate is higher than the frames of
// ordinary functions.
func frame(t *wasm.FuncType, body *wasm.Body) int64 {
	values := int64(len(t.Params)) + int64(len(t.Results)) + int64(body.Locals)
	return frameBytes + slotBytes*(values+int64(len(body.Code))>>codePerSlotLog2)
}

// extraValues returns how many values that may outlive a call a short instruction makes, beyond the
// one that the length of the code accounts for.
func extraValues(values int) int64 { return int64(max(0, values-1)) }

// stackOf returns the stack of a call of a node and its callees, except functions that pay for
// themselves.
func (c *coster) stackOf(node uint32, metered []bool) int64 {
	deepest := int64(0)
	for _, next := range c.r.graph.successors(node) {
		if int(next) >= c.r.graph.functions || !metered[next] {
			deepest = max(deepest, c.stacks[next])
		}
	}
	if int(node) < c.r.graph.functions {
		deepest += frame(c.r.functionType(c.r.imported+node), &c.r.module.Bodies[node])
	}
	return min(deepest, MaxStackBytes)
}

// appendEnter appends: fuel = fuel - cost; stack = stack - bytes; if either is negative, tick. It
// then opens a block around the body, so that there is one way out, where the function gives its
// stack back.
func (e *emitter) appendEnter(out []byte, cost, bytes int64, t *wasm.FuncType) []byte {
	out = appendConst(e.appendFuel(out, wasm.OpGlobalGet), cost)
	out = e.appendFuel(append(out, byte(wasm.OpI64Sub)), wasm.OpGlobalSet)
	out = appendBlocks(e.appendStack(out, wasm.OpI64Sub, bytes))
	out = wasm.AppendUint32(append(e.appendFuel(out, wasm.OpGlobalGet), byte(wasm.OpGlobalGet)),
		e.stack)
	out = e.appendTick(append(out, byte(wasm.OpI64Or)))
	return append(append(out, byte(wasm.OpBlock)), e.blockType(t.Results)...)
}

// appendStack appends: stack = stack op bytes.
func (e *emitter) appendStack(out []byte, op wasm.Opcode, bytes int64) []byte {
	out = appendConst(wasm.AppendUint32(append(out, byte(wasm.OpGlobalGet)), e.stack), bytes)
	return wasm.AppendUint32(append(out, byte(op), byte(wasm.OpGlobalSet)), e.stack)
}

// blockType returns the type of a block without parameters and with the given results. A type with
// several results is added to the module.
func (e *emitter) blockType(results []wasm.ValueType) []byte {
	if len(results) == 0 {
		return []byte{wasm.BlockTypeEmpty}
	}
	var key []byte
	for _, result := range results {
		key = wasm.AppendValueType(key, result)
	}
	if len(results) == 1 {
		return key
	}
	index, known := e.blockTypes[string(key)]
	if !known {
		index = len(e.r.module.Types)
		e.r.module.Types = append(e.r.module.Types, wasm.FuncType{Results: results})
		e.blockTypes[string(key)] = index
	}
	return wasm.AppendInt64(nil, int64(index))
}
