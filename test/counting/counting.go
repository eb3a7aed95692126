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

// Package counting makes modules count the instructions that they execute, in the simplest way.
// Tests compare the engine's fuel metering with it, so it shares no code with the engine.
package counting

import "github.com/wasm-admission/wasm-admission/internal/wasm"

// Export is the name of the exported mutable i64 global that holds the count. It starts at zero.
const Export = "test-counter"

// Module returns a module, in the binary format, that counts. Every instruction except else and end
// counts as one. A loop instruction counts once per iteration. Instructions without a branch or a
// call between them are counted together, at the first one.
func Module(module []byte) ([]byte, error) {
	m, err := wasm.Decode(module)
	if err != nil {
		return nil, err
	}
	global := uint32(len(m.GlobalTypes()))
	types := m.FunctionTypes()
	c := m.Cursor()
	for i := range m.Bodies {
		c.Reset(&m.Bodies[i], len(m.Types[types[len(types)-len(m.Bodies)+i]].Params))
		if err := count(&m.Bodies[i], c, global); err != nil {
			return nil, err
		}
	}
	m.Globals = append(m.Globals, wasm.Global{
		Type: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I64}, Mutable: true},
		Init: wasm.I64Const(0),
	})
	m.Exports = append(m.Exports, wasm.Export{Name: Export, Kind: wasm.ExternGlobal, Index: global})
	return m.Encode(), nil
}

// count makes a body count its instructions.
func count(body *wasm.Body, c *wasm.Cursor, global uint32) error {
	var code []byte
	start, executed := 0, int64(0)
	flush := func(end int) {
		if executed > 0 {
			code = wasm.AppendUint32(append(code, byte(wasm.OpGlobalGet)), global)
			code = wasm.AppendInt64(append(code, byte(wasm.OpI64Const)), executed)
			code = wasm.AppendUint32(append(code, byte(wasm.OpI64Add), byte(wasm.OpGlobalSet)),
				global)
		}
		code = append(code, body.Code[start:end]...)
		start, executed = end, 0
	}
	for in := (wasm.Instruction{}); c.Next(&in); {
		switch in.Op {
		case wasm.OpLoop:
			flush(in.End)
			executed = 1
		case wasm.OpElse, wasm.OpEnd:
			flush(in.End)
		default:
			executed++
			if transfers(in.Op) {
				flush(in.End)
			}
		}
	}
	flush(len(body.Code))
	body.Code = code
	return c.Err()
}

// transfers reports whether an instruction may transfer control, so that the code after it may run
// a different number of times.
func transfers(op wasm.Opcode) bool {
	switch op {
	case wasm.OpIf, wasm.OpBr, wasm.OpBrIf, wasm.OpBrTable, wasm.OpBrOnNull, wasm.OpBrOnNonNull,
		wasm.OpReturn, wasm.OpUnreachable,
		wasm.OpCall, wasm.OpCallIndirect, wasm.OpCallRef, wasm.OpReturnCall, wasm.OpReturnCallIndirect, wasm.OpReturnCallRef:
		return true
	}
	return false
}
