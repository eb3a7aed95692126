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
	"cmp"
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// remainder is an instruction with its result according to the specification, or a trap.
type remainder struct {
	name string
	op   wasm.Opcode
	of   byte
	want func(a, b uint64) uint64
}

var remainders = []remainder{
	{"i32.rem_s", wasm.OpI32RemS, wasm.I32, func(a, b uint64) uint64 {
		if int32(b) == -1 {
			return 0
		}
		return uint64(uint32(int32(a) % int32(b)))
	}},
	{"i32.rem_u", wasm.OpI32RemU, wasm.I32, func(a, b uint64) uint64 {
		return uint64(uint32(a) % uint32(b))
	}},
	{"i64.rem_s", wasm.OpI64RemS, wasm.I64, func(a, b uint64) uint64 {
		if int64(b) == -1 {
			return 0
		}
		return uint64(int64(a) % int64(b))
	}},
	{"i64.rem_u", wasm.OpI64RemU, wasm.I64, func(a, b uint64) uint64 { return a % b }},
}

// crowded returns a module with a function of two parameters. The function computes the same value
// 40 times in each of three iterations of a loop that calls, and keeps all results alive until the
// end. It traps unless all results are the same, and returns the result.
func crowded(parameter, result byte, compute func(g *generator)) []byte {
	const count, turns = 40, 2 + 40
	g := &generator{}
	vt := wasm.ValueType{Code: parameter}
	g.m.Types = []wasm.FuncType{{},
		{Params: []wasm.ValueType{vt, vt}, Results: []wasm.ValueType{{Code: result}}}}
	g.m.Functions, g.m.Exports = []uint32{0, 1}, []wasm.Export{{Name: "f", Index: 1}}
	g.code = append(g.code, byte(wasm.OpLoop), wasm.BlockTypeEmpty)
	g.op(wasm.OpCall, 0)
	for n := range uint32(count) {
		compute(g)
		g.op(wasm.OpLocalSet, 2+n)
	}
	g.op(wasm.OpLocalGet, turns)
	g.code = append(g.code, constant(wasm.I32, 1)...)
	g.op(wasm.OpI32Add)
	g.op(wasm.OpLocalTee, turns)
	g.code = append(g.code, constant(wasm.I32, 3)...)
	g.op(wasm.OpI32LtU)
	g.op(wasm.OpBrIf, 0)
	g.op(wasm.OpEnd)
	differ := map[byte]wasm.Opcode{wasm.I32: wasm.OpI32Ne, wasm.I64: 0x52}[result]
	for n := range uint32(count) {
		g.op(wasm.OpLocalGet, 2)
		g.op(wasm.OpLocalGet, 2+n)
		g.op(differ)
		g.code = append(g.code, byte(wasm.OpIf), wasm.BlockTypeEmpty, byte(wasm.OpUnreachable),
			byte(wasm.OpEnd))
	}
	g.op(wasm.OpLocalGet, 2)
	g.op(wasm.OpEnd)
	body := wasm.Body{Code: g.code}
	body.DeclareLocals(count, wasm.ValueType{Code: result})
	body.DeclareLocals(1, wasm.ValueType{Code: wasm.I32})
	g.m.Bodies = []wasm.Body{{Code: []byte{byte(wasm.OpEnd)}}, body}
	return g.m.Encode()
}

// crowded returns such a module for remainders.
func (r remainder) crowded() []byte {
	return crowded(r.of, r.of, func(g *generator) {
		g.op(wasm.OpLocalGet, 0)
		g.op(wasm.OpLocalGet, 1)
		g.op(r.op)
	})
}

// TestRemaindersAreReplaced computes special cases of remainders in code that is short of
// registers.
func TestRemaindersAreReplaced(t *testing.T) {
	ctx := context.Background()
	numbers := []uint64{
		0, 1, 2, 3, 7, 1 << 31, 1<<31 - 1, math.MaxUint32, 1 << 63, 1<<63 - 1, math.MaxUint64,
		math.MaxUint64 - 6, 1 << 40,
	}
	for _, r := range remainders {
		t.Run(r.name, func(t *testing.T) {
			module := r.crowded()
			result := withReplacements(t, module)
			requireNone(t, result.Module, r.op)
			runtime, m := fuzzRuntime(t, wazero.NewRuntimeConfigCompiler(), result)
			m.limit = math.MaxInt64
			mod, err := runtime.InstantiateWithConfig(ctx, result.Module, wazero.NewModuleConfig())
			require.NoError(t, err)
			mask := uint64(math.MaxUint64)
			if r.of == wasm.I32 {
				mask = math.MaxUint32
			}
			for _, a := range numbers {
				for _, b := range numbers {
					requireRemainder(t, mod.ExportedFunction("f"), r, a&mask, b&mask)
				}
			}
		})
	}
}

func requireRemainder(t *testing.T, f api.Function, r remainder, a, b uint64) {
	t.Helper()
	what := fmt.Sprintf("%s of %x and %x", r.name, a, b)
	got, err := f.Call(context.Background(), a, b)
	if b == 0 {
		require.Equal(t, "integer divide by zero", trap(err), what)
		return
	}
	require.NoError(t, err, what)
	require.True(t, sameValue(f.Definition().ResultTypes()[0], r.want(a, b), got[0]), "%s is %x",
		what, got[0])
}

// requireNone checks that no function of a module contains an instruction.
func requireNone(t *testing.T, module []byte, op wasm.Opcode) {
	t.Helper()
	m, err := wasm.Decode(module)
	require.NoError(t, err)
	c, types := m.Cursor(), m.FunctionTypes()
	for i := range m.Bodies {
		c.Reset(&m.Bodies[i], len(m.Types[types[len(types)-len(m.Bodies)+i]].Params))
		for in := (wasm.Instruction{}); c.Next(&in); {
			require.NotEqual(t, op, in.Op)
		}
		require.NoError(t, c.Err())
	}
}

// TestReplacementsCostTheSame compares the fuel of modules that are rewritten for two processors.
func TestReplacementsCostTheSame(t *testing.T) {
	for seed := range uint64(15) {
		module := generate(entropyOf(seed))
		result, err := rewrite.Module(module, fuzzOptions())
		require.NoError(t, err)
		requireSameFuel(t, result, withReplacements(t, module), 3)
	}
	for _, r := range remainders {
		module := r.crowded()
		result, err := rewrite.Module(module, fuzzOptions())
		require.NoError(t, err)
		requireSameFuel(t, result, withReplacements(t, module), 5)
	}
}

// TestBitmasksAreReplaced computes the sign bits of two lanes in code that is short of registers.
func TestBitmasksAreReplaced(t *testing.T) {
	result := withReplacements(t, crowded(wasm.I64, wasm.I32, func(g *generator) {
		g.op(wasm.OpLocalGet, 0)
		g.op(vector(0x12)) // i64x2.splat
		g.op(wasm.OpLocalGet, 1)
		g.op(vector(0x1e)) // i64x2.replace_lane
		g.code = append(g.code, 1)
		g.op(wasm.OpI64x2Bitmask)
	}))
	requireNone(t, result.Module, wasm.OpI64x2Bitmask)
	runtime, m := fuzzRuntime(t, wazero.NewRuntimeConfigCompiler(), result)
	m.limit = math.MaxInt64
	mod, err := runtime.InstantiateWithConfig(context.Background(), result.Module,
		wazero.NewModuleConfig())
	require.NoError(t, err)
	for mask := range uint64(4) {
		got, err := mod.ExportedFunction("f").Call(context.Background(), mask<<63|5,
			mask>>1<<63|1<<62)
		require.NoError(t, err)
		require.Equal(t, uint32(mask), uint32(got[0]))
	}
}

// TestMaskedComparisons branches on comparisons of a & b with zero on either side.
func TestMaskedComparisons(t *testing.T) {
	ctx := context.Background()
	type relation struct {
		name     string
		op       wasm.Opcode // of i32
		signed   bool
		compares func(order int) bool
	}
	relations := []relation{
		{"lt_s", 0x48, true, func(o int) bool { return o < 0 }},
		{"lt_u", 0x49, false, func(o int) bool { return o < 0 }},
		{"gt_s", 0x4a, true, func(o int) bool { return o > 0 }},
		{"gt_u", 0x4b, false, func(o int) bool { return o > 0 }},
		{"le_s", 0x4c, true, func(o int) bool { return o <= 0 }},
		{"le_u", 0x4d, false, func(o int) bool { return o <= 0 }},
		{"ge_s", 0x4e, true, func(o int) bool { return o >= 0 }},
		{"ge_u", 0x4f, false, func(o int) bool { return o >= 0 }},
		{"eq", 0x46, false, func(o int) bool { return o == 0 }},
		{"ne", 0x47, false, func(o int) bool { return o != 0 }},
	}
	const toI64 = 0x51 - 0x46
	order := func(of byte, signed bool, x uint64) int {
		switch {
		case signed && of == wasm.I32:
			return cmp.Compare(int32(x), 0)
		case signed:
			return cmp.Compare(int64(x), 0)
		case of == wasm.I32:
			return cmp.Compare(uint32(x), 0)
		}
		return cmp.Compare(x, 0)
	}
	for _, of := range []byte{wasm.I32, wasm.I64} {
		for _, r := range relations {
			for _, zeroFirst := range []bool{false, true} {
				name := fmt.Sprintf("%s of %#x, zero first %v", r.name, of, zeroFirst)
				module := masked(of,
					r.op+wasm.Opcode(map[byte]int{wasm.I32: 0, wasm.I64: toI64}[of]), zeroFirst)
				runtime, m := fuzzRuntime(t, wazero.NewRuntimeConfigCompiler(),
					withReplacements(t, module))
				m.limit = math.MaxInt64
				mod, err := runtime.InstantiateWithConfig(ctx, withReplacements(t, module).Module,
					wazero.NewModuleConfig())
				require.NoError(t, err)
				for _, x := range []uint64{0, 1, 1 << 31, 1 << 63, math.MaxUint64} {
					all := uint64(math.MaxUint64)
					if of == wasm.I32 {
						all = math.MaxUint32
					}
					x &= all
					got, err := mod.ExportedFunction("f").Call(ctx, x, all)
					require.NoError(t, err)
					o := order(of, r.signed, x)
					if zeroFirst {
						o = -o
					}
					require.Equal(t, r.compares(o), uint32(got[0]) == 1, "%s: %#x", name, x)
				}
			}
		}
	}
}

// masked returns a module with a function that returns 1 if comparing the common bits of its two
// parameters with zero succeeds.
func masked(of byte, compare wasm.Opcode, zeroFirst bool) []byte {
	g := &generator{}
	vt := wasm.ValueType{Code: of}
	g.m.Types = []wasm.FuncType{{
		Params: []wasm.ValueType{vt, vt}, Results: []wasm.ValueType{{Code: wasm.I32}},
	}}
	g.m.Functions, g.m.Exports = []uint32{0}, []wasm.Export{{Name: "f"}}
	and := map[byte]wasm.Opcode{wasm.I32: wasm.OpI32And, wasm.I64: wasm.OpI64And}[of]
	if zeroFirst {
		g.code = append(g.code, constant(of, 0)...)
	}
	g.op(wasm.OpLocalGet, 0)
	g.op(wasm.OpLocalGet, 1)
	g.op(and)
	if !zeroFirst {
		g.code = append(g.code, constant(of, 0)...)
	}
	g.op(compare)
	g.code = append(g.code, byte(wasm.OpIf), wasm.BlockTypeEmpty)
	g.code = append(append(g.code, constant(wasm.I32, 1)...), byte(wasm.OpReturn), byte(wasm.OpEnd))
	g.code = append(append(g.code, constant(wasm.I32, 0)...), byte(wasm.OpEnd))
	g.m.Bodies = []wasm.Body{{Code: g.code}}
	return g.m.Encode()
}
