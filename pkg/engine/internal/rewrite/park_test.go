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

package rewrite_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

func parking() rewrite.Options {
	o := options
	o.Park = &rewrite.Park{Main: "_start", ReadModule: "env", ReadName: "read", Again: 0x7fffffff}
	return o
}

// TestParkRepeatsReads checks that a program repeats a read on request, whichever way it reads,
// without noticing.
func TestParkRepeatsReads(t *testing.T) {
	result, err := rewrite.Module(read(t, "reader"), parking())
	require.NoError(t, err)
	require.Equal(t, "test-admission/main", result.ParkExport)
	require.Len(t, result.FunctionImports, 1)

	type call struct{ fd, at, count, result uint32 }
	var calls []call
	repeat := 0
	ctx := context.Background()
	r := newRuntime(t)
	_, err = r.NewHostModuleBuilder("env").NewFunctionBuilder().
		WithFunc(func(fd, at, count, result uint32) uint32 {
			calls = append(calls, call{fd, at, count, result})
			if repeat > 0 {
				repeat--
				return 0x7fffffff
			}
			return 40 + uint32(len(calls))
		}).Export("read").Instantiate(ctx)
	require.NoError(t, err)
	mod := instantiate(t, r, result, &meter{portion: portion, limit: 10})

	_, err = mod.ExportedFunction(result.ParkExport).Call(ctx)
	require.NoError(t, err)
	ways := []call{{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}
	require.Equal(t, append([]call{{fd: 0xffffffff}}, ways...), calls,
		"the host is asked before the program")
	require.EqualValues(t, 42+43+44+45, mod.ExportedGlobal("sum").Get())

	calls, repeat = nil, 3
	_, err = mod.ExportedFunction("_start").Call(ctx)
	require.NoError(t, err)
	require.Equal(t, append([]call{{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, ways...), calls)
	require.EqualValues(t, 42+43+44+45+44+45+46+47, mod.ExportedGlobal("sum").Get())
}

// TestWhatCannotBeParkedIsLeftAlone checks that a module that cannot be parked is rewritten as
// usual.
func TestWhatCannotBeParkedIsLeftAlone(t *testing.T) {
	for name, change := range map[string]func(m *wasm.Module){
		"reads nothing":     func(m *wasm.Module) { m.Imports[0].Name = "other" },
		"reads in two ways": func(m *wasm.Module) { m.Imports = append(m.Imports, m.Imports[0]) },
		"other type":        func(m *wasm.Module) { m.Types[m.Imports[0].TypeIndex].Results = nil },
		"no program":        func(m *wasm.Module) { m.Exports = m.Exports[:0] },
		"program with parameters": func(m *wasm.Module) {
			m.Types = append(m.Types, wasm.FuncType{Params: []wasm.ValueType{{Code: wasm.I32}}})
			m.Functions[0] = uint32(len(m.Types) - 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Use only the imports and exports: the changes invalidate the code.
			m := &wasm.Module{
				Types:     []wasm.FuncType{{Params: types(4), Results: types(1)}, {}},
				Imports:   []wasm.Import{{Module: "env", Name: "read"}},
				Functions: []uint32{1},
				Bodies:    []wasm.Body{{Code: []byte{byte(wasm.OpEnd)}}},
				Exports:   []wasm.Export{{Name: "_start", Index: 1}},
			}
			parked, err := rewrite.Module(m.Encode(), parking())
			require.NoError(t, err)
			require.NotEmpty(t, parked.ParkExport)
			change(m)
			if name == "reads in two ways" {
				m.Exports[0].Index = 2
			}
			left, err := rewrite.Module(m.Encode(), parking())
			require.NoError(t, err)
			require.Empty(t, left.ParkExport)
			plain, err := rewrite.Module(m.Encode(), options)
			require.NoError(t, err)
			require.Equal(t, plain.Module, left.Module)
		})
	}
}

func types(n int) []wasm.ValueType {
	result := make([]wasm.ValueType, n)
	for i := range result {
		result[i].Code = wasm.I32
	}
	return result
}
