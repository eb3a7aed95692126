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

package main

import "github.com/wasm-admission/wasm-admission/internal/wasm"

// code is the code of a function, to which the methods append.
type code []byte

func (c code) op(ops ...wasm.Opcode) code {
	for _, op := range ops {
		c = append(c, byte(op))
	}
	return c
}

func (c code) index(op wasm.Opcode, index int) code {
	return wasm.AppendUint32(c.op(op), uint32(index))
}

func (c code) i32(value int) code { return wasm.AppendInt64(c.op(wasm.OpI32Const), int64(value)) }

// open opens a block without parameters or results. end closes it.
func (c code) open(op wasm.Opcode) code { return append(c.op(op), wasm.BlockTypeEmpty) }

// typed opens a block with one of the module's types.
func (c code) typed(op wasm.Opcode, index int) code {
	return wasm.AppendInt64(c.op(op), int64(index))
}

func (c code) end() code { return c.op(wasm.OpEnd) }

// load pushes a value from memory, which a compiler cannot know in advance.
func (c code) load(address int) code {
	return append(c.i32(0), append([]byte{0x28, 2}, wasm.AppendUint32(nil, uint32(address))...)...)
}

// times calls f n times to append code.
func (c code) times(n int, f func(c code, i int) code) code {
	for i := range n {
		c = f(c, i)
	}
	return c
}

func i32s(n int) []wasm.ValueType {
	types := make([]wasm.ValueType, n)
	for i := range types {
		types[i].Code = wasm.I32
	}
	return types
}

// module returns a module with copies of a function of type 0, each with the given locals and code,
// a memory, and further types.
func module(copies, locals int, c code, further ...wasm.FuncType) *wasm.Module {
	m := &wasm.Module{
		Types:    append([]wasm.FuncType{{}}, further...),
		Memories: []wasm.Limits{{Min: 1}},
		Exports:  []wasm.Export{{Name: "run", Kind: wasm.ExternFunction}},
	}
	body := wasm.Body{Code: c.end()}
	if locals > 0 {
		body.DeclareLocals(uint32(locals), wasm.ValueType{Code: wasm.I32})
	}
	for range copies {
		m.Functions = append(m.Functions, 0)
		m.Bodies = append(m.Bodies, body)
	}
	return m
}
