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
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// TestGlobalsCanBeRestored saves the exported globals, lets the module change them, and restores
// them.
func TestGlobalsCanBeRestored(t *testing.T) {
	ctx := context.Background()
	result, err := rewrite.Module(read(t, "state"), plainOptions())
	require.NoError(t, err)
	require.Empty(t, result.NeedsFreshInstance)
	require.Len(t, result.Globals, 4, "all mutable globals")
	mod := instantiate(t, newRuntime(t), result, &meter{portion: portion, limit: 10})
	sum := func() float64 {
		out, err := mod.ExportedFunction("sum").Call(ctx)
		require.NoError(t, err)
		return math.Float64frombits(out[0])
	}
	require.InDelta(t, 70+8+1.5+2.5, sum(), 0)

	saved := make(map[string]uint64)
	for _, g := range result.Globals {
		saved[g.Export] = mod.ExportedGlobal(g.Export).Get()
	}
	_, err = mod.ExportedFunction("change").Call(ctx)
	require.NoError(t, err)
	require.InDelta(t, 10.0, sum(), 0)
	for name, value := range saved {
		mod.ExportedGlobal(name).(api.MutableGlobal).Set(value)
	}
	require.InDelta(t, 70+8+1.5+2.5, sum(), 0)
}

// TestStartFunctionIsExported checks that the start function runs when the host calls it, and not
// before.
func TestStartFunctionIsExported(t *testing.T) {
	ctx := context.Background()
	result, err := rewrite.Module(read(t, "state"), options)
	require.NoError(t, err)
	require.True(t, result.HasStart)
	m := &meter{portion: portion, limit: 10}
	mod := instantiate(t, newRuntime(t), result, m)
	require.Zero(t, m.ticks)
	a := mod.ExportedGlobal(result.Globals[0].Export)
	require.EqualValues(t, 7, a.Get())
	_, err = mod.ExportedFunction(result.StartExport).Call(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 70, a.Get())
}

// TestImage checks that the extracted segments give the memory that the module would have had.
func TestImage(t *testing.T) {
	ctx := context.Background()
	plain, err := newRuntime(t).Instantiate(ctx, read(t, "state"))
	require.NoError(t, err)
	expected, ok := plain.Memory().Read(0, 65536)
	require.True(t, ok)

	result, err := rewrite.Module(read(t, "state"), options)
	require.NoError(t, err)
	require.Empty(t, result.ImageKept)
	image := make([]byte, 65536)
	for _, segment := range result.Image {
		copy(image[segment.Offset:], segment.Bytes)
	}
	require.Equal(t, expected, image)
	mod := instantiate(t, newRuntime(t), result, &meter{portion: portion, limit: 1})
	empty, ok := mod.Memory().Read(0, 65536)
	require.True(t, ok)
	require.Equal(t, make([]byte, 65536), empty)
}

// TestPassiveSegmentsKeepTheirIndex extracts an active segment from a module that uses a passive
// one.
func TestPassiveSegmentsKeepTheirIndex(t *testing.T) {
	result, err := rewrite.Module(read(t, "passive"), options)
	require.NoError(t, err)
	require.Equal(t, []rewrite.Segment{{Offset: 0, Bytes: []byte("active")}}, result.Image)
	mod := instantiate(t, newRuntime(t), result, &meter{portion: portion, limit: 1})
	_, err = mod.ExportedFunction("run").Call(context.Background())
	require.NoError(t, err)
	memory, ok := mod.Memory().Read(0, 15)
	require.True(t, ok)
	require.Equal(t, "\x00\x00\x00\x00\x00\x00\x00\x00passive", string(memory))
}

// withData builds a module with a memory of one page and one active segment at the given offset.
func withData(offset wasm.ConstExpr, imports ...wasm.Import) []byte {
	m := wasm.Module{
		Imports:  imports,
		Memories: []wasm.Limits{{Min: 1}},
		Data:     []wasm.DataSegment{{Offset: offset, Bytes: []byte("0123456789")}},
	}
	return m.Encode()
}

// TestImageIsKept checks when active segments must stay in the module.
func TestImageIsKept(t *testing.T) {
	global := wasm.Import{
		Module: "env",
		Name:   "base",
		Kind:   wasm.ExternGlobal,
		Global: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I32}},
	}
	for name, c := range map[string]struct {
		module []byte
		reason string
	}{
		"at the end": {withData(wasm.I32Const(65526)), ""},
		"beyond": {withData(wasm.I32Const(65527)),
			"data segment 0 lies outside of the initial memory"},
		"far beyond": {withData(wasm.I32Const(-1)),
			"data segment 0 lies outside of the initial memory"},
		"at an import": {withData(wasm.ConstExpr{byte(wasm.OpGlobalGet), 0, byte(wasm.OpEnd)},
			global), "the offset of data segment 0 is not an i32.const"},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := rewrite.Module(c.module, options)
			require.NoError(t, err)
			require.Equal(t, c.reason, result.ImageKept)
			m, err := wasm.Decode(result.Module)
			require.NoError(t, err)
			if c.reason == "" {
				require.Empty(t, m.Data)
				require.Len(t, result.Image, 1)
			} else {
				require.Len(t, m.Data, 1)
				require.Empty(t, result.Image)
			}
		})
	}
}

// TestNeedsFreshInstance checks the reasons for a module that has all of them.
func TestNeedsFreshInstance(t *testing.T) {
	result, err := rewrite.Module(read(t, "mutators"), options)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"mutable global env.g is imported",
		"table.set changes a table", "table.grow changes a table", "table.init changes a table",
		"table.copy changes a table", "table.fill changes a table",
		"elem.drop drops an element segment", "data.drop drops a data segment",
		"global 1 is a mutable funcref, which the host cannot restore",
		"global 2 is a mutable v128, which the host cannot restore",
	}, result.NeedsFreshInstance)
}

// TestReasonsAreBounded imports more mutable globals than there may be reasons.
func TestReasonsAreBounded(t *testing.T) {
	var m wasm.Module
	for i := range 101 {
		m.Imports = append(m.Imports, wasm.Import{
			Module: "env", Name: strconv.Itoa(i), Kind: wasm.ExternGlobal,
			Global: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I32}, Mutable: true},
		})
	}
	result, err := rewrite.Module(m.Encode(), options)
	require.NoError(t, err)
	require.Len(t, result.NeedsFreshInstance, 100)
}

// TestMemoryLimit checks the declared maximum and the reported values.
func TestMemoryLimit(t *testing.T) {
	o := options
	o.MemoryMaxPages = 17
	result, err := rewrite.Module(read(t, "state"), o)
	require.NoError(t, err)
	require.Equal(t, rewrite.Memory{Present: true, MinPages: 1, OriginalMax: 3, HasMax: true},
		result.Memory)
	m, err := wasm.Decode(result.Module)
	require.NoError(t, err)
	require.Equal(t, wasm.Limits{Min: 1, Max: 17, HasMax: true}, m.Memories[0])

	imported := wasm.Module{
		Imports: []wasm.Import{{
			Module: "env", Name: "memory", Kind: wasm.ExternMemory, Memory: wasm.Limits{Min: 18},
		}},
	}
	_, err = rewrite.Module(imported.Encode(), o)
	require.EqualError(t, err,
		"module needs a memory of at least 18 pages (1179648 bytes), the limit is 17 pages (1114112 bytes)")
	o.MemoryMaxPages = 18
	result, err = rewrite.Module(imported.Encode(), o)
	require.NoError(t, err)
	require.Equal(t, rewrite.Memory{
		Present:      true,
		Imported:     true,
		ImportModule: "env",
		ImportName:   "memory",
		MinPages:     18,
	}, result.Memory)
}

// TestTableLimit checks the declared maximum of tables.
func TestTableLimit(t *testing.T) {
	table := wasm.Module{
		Tables: []wasm.Table{{Type: wasm.TableType{
			Element: wasm.ValueType{Code: wasm.FuncRef},
			Limits:  wasm.Limits{Min: 11},
		}}},
	}
	o := options
	o.TableMaxEntries = 10
	_, err := rewrite.Module(table.Encode(), o)
	require.EqualError(t, err,
		"module needs tables of at least 11 entries, the limit is 10: raise limits.tableEntries")
	o.TableMaxEntries = 11
	result, err := rewrite.Module(table.Encode(), o)
	require.NoError(t, err)
	m, err := wasm.Decode(result.Module)
	require.NoError(t, err)
	require.Equal(t, wasm.Limits{Min: 11, Max: 11, HasMax: true}, m.Tables[0].Type.Limits)

	// The limit is for all tables together.
	table.Tables = append(table.Tables, table.Tables[0])
	table.Tables[1].Type.Limits = wasm.Limits{Min: 5, Max: 6, HasMax: true}
	o.TableMaxEntries = 15
	_, err = rewrite.Module(table.Encode(), o)
	require.EqualError(t, err,
		"module needs tables of at least 16 entries, the limit is 15: raise limits.tableEntries")
	o.TableMaxEntries = 21
	result, err = rewrite.Module(table.Encode(), o)
	require.NoError(t, err)
	m, err = wasm.Decode(result.Module)
	require.NoError(t, err)
	require.Equal(t, wasm.Limits{Min: 11, Max: 13, HasMax: true}, m.Tables[0].Type.Limits)
	require.Equal(t, wasm.Limits{Min: 5, Max: 6, HasMax: true}, m.Tables[1].Type.Limits)
}

// TestNames checks that a trap in a rewritten module shows the right names of functions and locals.
func TestNames(t *testing.T) {
	ctx := context.Background()
	result, err := rewrite.Module(read(t, "names"), options)
	require.NoError(t, err)
	r := newRuntime(t)
	_, err = r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() {}).Export("host").
		Instantiate(ctx)
	require.NoError(t, err)
	mod := instantiate(t, r, result, &meter{portion: portion, limit: 10})
	_, err = mod.ExportedFunction("run").Call(ctx, 0)
	require.Error(t, err)
	require.Contains(t, err.Error(), "unreachable")
	_, trace, found := strings.Cut(err.Error(), "wasm stack trace:")
	require.True(t, found)
	require.Equal(t, []string{"named.inner()", "named.outer(i32)"},
		strings.Fields(strings.ReplaceAll(trace, "\n\t", " ")))
	require.Equal(t, []rewrite.FunctionImport{{Module: "env", Name: "host"}},
		result.FunctionImports)
	require.Equal(t, []wasm.Export{{Name: "run", Kind: wasm.ExternFunction, Index: 2}},
		result.Exports)
}

// TestCustomSectionsStay checks that custom sections keep their content and place.
func TestCustomSectionsStay(t *testing.T) {
	module := read(t, "spin")
	head, tail := "\x00\x06\x04headxy"[:8], "\x00\x06\x04tail\x00"
	module = append(append(append([]byte{}, module[:8]...), head...), module[8:]...)
	module = append(module, tail...)
	result, err := rewrite.Module(module, options)
	require.NoError(t, err)
	require.Equal(t, head, string(result.Module[8:16]))
	require.Equal(t, tail, string(result.Module[len(result.Module)-len(tail):]))
}

// TestRefused checks which modules and options are refused, and the errors.
func TestRefused(t *testing.T) {
	empty := (&wasm.Module{}).Encode()
	nullary := []wasm.FuncType{{}}
	reservedImport := wasm.Module{
		Types:   nullary,
		Imports: []wasm.Import{{Module: "test-admission", Name: "other"}},
	}
	reservedExport := wasm.Module{
		Types: nullary, Functions: []uint32{0},
		Bodies:  []wasm.Body{{Code: []byte{byte(wasm.OpEnd)}}},
		Exports: []wasm.Export{{Name: "test-admission/fuel"}},
	}
	// Only the export that the rewrite would add declares the function that ref.func refers to.
	start := uint32(0)
	undeclared := wasm.Module{
		Types: nullary, Functions: []uint32{0}, Start: &start,
		Bodies: []wasm.Body{{Code: []byte{
			byte(wasm.OpRefFunc),
			0,
			byte(wasm.OpDrop),
			byte(wasm.OpEnd),
		}}},
	}
	change := func(f func(*rewrite.Options)) rewrite.Options {
		o := options
		f(&o)
		return o
	}
	for name, c := range map[string]struct {
		module  []byte
		options rewrite.Options
		message string
	}{
		"reserved import": {reservedImport.Encode(), options,
			`module imports "other" from the reserved module "test-admission"`},
		"reserved export": {reservedExport.Encode(), options,
			`module exports "test-admission/fuel": names that start with "test-admission/" are reserved`},
		"undeclared": {undeclared.Encode(), options,
			"malformed wasm module at offset 0x1a: ref.func of function 0, expected one that is declared outside of the code"},
		"malformed": {empty[:7], options,
			"malformed wasm module at offset 0x0: not a WebAssembly module: 7 bytes, expected the 8 bytes of the magic number and the version"},
		"bad name section": {append(empty, "\x00\x07\x04name\x01\x05"...), options,
			"name section: malformed wasm module at offset 0x1: 5 bytes of subsection do not fit in the 0 bytes that are left"},
		"no tick": {empty, change(func(o *rewrite.Options) { o.TickName = "" }),
			"rewrite options: tick module and tick name are required"},
		"no prefix": {empty, change(func(o *rewrite.Options) { o.ExportPrefix = "" }),
			"rewrite options: export prefix is required"},
		"no memory limit": {empty, change(func(o *rewrite.Options) { o.MemoryMaxPages = 0 }),
			"rewrite options: memory limit is 0 pages, expected 1 to 65536"},
		"large memory limit": {empty, change(func(o *rewrite.Options) { o.MemoryMaxPages = 65537 }),
			"rewrite options: memory limit is 65537 pages, expected 1 to 65536"},
		"no table limit": {empty, change(func(o *rewrite.Options) { o.TableMaxEntries = 0 }),
			"rewrite options: table limit is 0 entries, expected 1 to 10000000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rewrite.Module(c.module, c.options)
			require.EqualError(t, err, c.message)
		})
	}
}

// TestGoProgram runs a rewritten Go program, which uses most of what toolchains emit, and compares
// its output.
func TestGoProgram(t *testing.T) {
	module := buildGo(t, goProgram)
	result, err := rewrite.Module(module, plainOptions())
	require.NoError(t, err)
	require.Empty(t, result.NeedsFreshInstance)
	require.Equal(t, output(t, module, nil),
		output(t, result.Module,
			&meter{export: result.FuelExport, portion: portion, limit: 1 << 40}))
}

// output runs the function _start of a WASI program and returns its output.
func output(t *testing.T, module []byte, m *meter) string {
	t.Helper()
	var stdout strings.Builder
	r := newRuntime(t)
	hosts(t, r, m)
	_, err := r.InstantiateWithConfig(context.Background(), module,
		wazero.NewModuleConfig().WithStdout(&stdout))
	require.NoError(t, err)
	require.NotEmpty(t, stdout.String())
	return stdout.String()
}
