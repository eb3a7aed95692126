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
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// Park describes how to prepare a program so that the host can stop it where it reads its input,
// and resume it there any number of times.
type Park struct {
	// Main is the exported function that runs the program.
	Main string
	// ReadModule and ReadName name the imported function with which the program reads. It has four
	// parameters and a result, all of type i32, like WASI's fd_read.
	ReadModule, ReadName string
	// Again is the result with which the import asks to be called again immediately, with the same
	// parameters. The program never sees it.
	Again uint32
}

// readType is the type of fd_read.
var readType = wasm.FuncType{
	Params: []wasm.ValueType{{Code: wasm.I32}, {Code: wasm.I32}, {Code: wasm.I32},
		{Code: wasm.I32}},
	Results: []wasm.ValueType{{Code: wasm.I32}},
}

// park adds two functions after those of the module. The first replaces the import everywhere, and
// calls it until the result is not Again. A program can therefore be resumed in the import without
// noticing. The second is exported under the name that park returns. It calls the import with a
// first parameter of all ones, where the host can resume the program instead of starting it, and
// then calls the program. If the module does not have the import and the program exactly once, park
// changes nothing and returns an empty name.
func park(m *wasm.Module, o *Options) (export string, err error) {
	read, main, ok := parkable(m, o.Park)
	if !ok {
		return "", nil
	}
	functions := uint32(m.ImportedCount(wasm.ExternFunction) + len(m.Functions))
	if err := replaceFunction(m, read, functions); err != nil {
		return "", err
	}
	types := m.FunctionTypes()
	m.Functions = append(m.Functions, types[read], types[main])
	m.Bodies = append(m.Bodies, readBody(read, o.Park.Again), mainBody(read, main))
	export = o.ExportPrefix + "main"
	m.Exports = append(m.Exports,
		wasm.Export{Name: export, Kind: wasm.ExternFunction, Index: functions + 1})
	return export, nil
}

// parkable returns the indices of the import and of the program, and whether the module can be
// parked.
func parkable(m *wasm.Module, p *Park) (read, main uint32, ok bool) {
	found := 0
	index := uint32(0)
	for i := range m.Imports {
		im := &m.Imports[i]
		if im.Kind != wasm.ExternFunction {
			continue
		}
		if im.Module == p.ReadModule && im.Name == p.ReadName {
			read = index
			found++
		}
		index++
	}
	types := m.FunctionTypes()
	if found != 1 || !sameType(&m.Types[types[read]], &readType) {
		return 0, 0, false
	}
	for i := range m.Exports {
		if e := &m.Exports[i]; e.Kind == wasm.ExternFunction && e.Name == p.Main {
			return read, e.Index, sameType(&m.Types[types[e.Index]], &wasm.FuncType{})
		}
	}
	return 0, 0, false
}

func sameType(a, b *wasm.FuncType) bool {
	return slices.Equal(a.Params, b.Params) && slices.Equal(a.Results, b.Results)
}

// replaceFunction replaces a function with another wherever it is called or referenced.
func replaceFunction(m *wasm.Module, from, to uint32) error {
	replace := func(index uint32) uint32 {
		if index == from {
			return to
		}
		return index
	}
	for i := range m.Exports {
		if m.Exports[i].Kind == wasm.ExternFunction {
			m.Exports[i].Index = replace(m.Exports[i].Index)
		}
	}
	replaceReferences(m, replace)
	return replaceInCode(m, from, to)
}

// replaceReferences maps the functions that tables, globals, and element segments refer to.
func replaceReferences(m *wasm.Module, replace func(index uint32) uint32) {
	for i := range m.Globals {
		m.Globals[i].Init = m.Globals[i].Init.RenumberFunctions(replace)
	}
	for i := range m.Tables {
		if m.Tables[i].Init != nil {
			m.Tables[i].Init = m.Tables[i].Init.RenumberFunctions(replace)
		}
	}
	for i := range m.Elements {
		e := &m.Elements[i]
		for j := range e.Functions {
			e.Functions[j] = replace(e.Functions[j])
		}
		for j := range e.Exprs {
			e.Exprs[j] = e.Exprs[j].RenumberFunctions(replace)
		}
	}
}

func replaceInCode(m *wasm.Module, from, to uint32) error {
	cursor := m.Cursor()
	types := m.FunctionTypes()
	imported := len(types) - len(m.Functions)
	for i := range m.Bodies {
		body := &m.Bodies[i]
		var out []byte
		copied := 0
		cursor.Reset(body, len(m.Types[types[imported+i]].Params))
		for in := (wasm.Instruction{}); cursor.Next(&in); {
			if (in.Op == wasm.OpCall || in.Op == wasm.OpReturnCall || in.Op == wasm.OpRefFunc) &&
				in.X == from {
				out = append(out, body.Code[copied:in.Start]...)
				out = wasm.AppendUint32(append(out, byte(in.Op)), to)
				copied = in.End
			}
		}
		if err := cursor.Err(); err != nil {
			return fmt.Errorf("function %d: %w", imported+i, err)
		}
		if copied > 0 {
			body.Code = append(out, body.Code[copied:]...)
		}
	}
	return nil
}

// readBody calls the import as long as it returns again.
func readBody(read, again uint32) wasm.Body {
	const result = 4 // the local after the parameters
	code := []byte{byte(wasm.OpLoop), wasm.BlockTypeEmpty}
	for parameter := byte(0); parameter < result; parameter++ {
		code = append(code, byte(wasm.OpLocalGet), parameter)
	}
	code = wasm.AppendUint32(append(code, byte(wasm.OpCall)), read)
	code = append(code, byte(wasm.OpLocalTee), result)
	code = wasm.AppendInt64(append(code, byte(wasm.OpI32Const)), int64(int32(again)))
	code = append(code, byte(wasm.OpI32Eq), byte(wasm.OpBrIf), 0, byte(wasm.OpEnd),
		byte(wasm.OpLocalGet), result, byte(wasm.OpEnd))
	body := wasm.Body{Code: code}
	body.DeclareLocals(1, wasm.ValueType{Code: wasm.I32})
	return body
}

// mainBody gives the host an opportunity to resume the program, and then calls the program.
func mainBody(read, main uint32) wasm.Body {
	code := wasm.AppendInt64([]byte{byte(wasm.OpI32Const)}, -1)
	for range len(readType.Params) - 1 {
		code = append(code, byte(wasm.OpI32Const), 0)
	}
	code = append(wasm.AppendUint32(append(code, byte(wasm.OpCall)), read), byte(wasm.OpDrop))
	code = append(wasm.AppendUint32(append(code, byte(wasm.OpCall)), main), byte(wasm.OpEnd))
	return wasm.Body{Code: code}
}
