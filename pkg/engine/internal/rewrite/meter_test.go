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
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// portion is the fuel that the tests grant at a time, as a host would.
const portion = 50_000

// TestEndlessEnds runs modules that would run forever, or for years, until the host grants no more
// fuel.
func TestEndlessEnds(t *testing.T) {
	for _, name := range []string{
		"spin", "mutual_recursion", "indirect_recursion", "tail_recursion", "exponential",
		"br_table_loop",
	} {
		t.Run(name, func(t *testing.T) {
			result, err := rewrite.Module(read(t, name), options)
			require.NoError(t, err)
			m := &meter{portion: portion, limit: 50}
			mod := instantiate(t, newRuntime(t), result, m)
			_, err = mod.ExportedFunction("run").Call(context.Background())
			require.ErrorIs(t, err, errOutOfFuel)
			require.Equal(t, m.limit+1, m.ticks)
		})
	}
}

// TestBulkOperationsPayByLength runs a few instructions that write a megabyte.
func TestBulkOperationsPayByLength(t *testing.T) {
	m := &meter{portion: 1000, limit: 1000}
	mod := run(t, "fill_loop", m)
	require.Greater(t, m.consumed(mod), int64(16*65536/8))
	require.Less(t, m.consumed(mod), int64(16*65536/8+300))
	require.Greater(t, m.ticks, int64(10))
}

// run runs the function run of a module in testdata to its end.
func run(t *testing.T, name string, m *meter) api.Module {
	t.Helper()
	result, err := rewrite.Module(read(t, name), options)
	require.NoError(t, err)
	mod := instantiate(t, newRuntime(t), result, m)
	_, err = mod.ExportedFunction("run").Call(context.Background())
	require.NoError(t, err)
	return mod
}

// straight builds a module with one function of n additions in a row.
func straight(n int) []byte {
	code := []byte{byte(wasm.OpI32Const), 0}
	for range n {
		code = append(code, byte(wasm.OpI32Const), 1, byte(wasm.OpI32Add))
	}
	i32 := []wasm.ValueType{{Code: wasm.I32}}
	m := wasm.Module{
		Types:     []wasm.FuncType{{Results: i32}},
		Functions: []uint32{0},
		Exports:   []wasm.Export{{Name: "run", Kind: wasm.ExternFunction}},
		Bodies:    []wasm.Body{{Code: append(code, byte(wasm.OpEnd))}},
	}
	return m.Encode()
}

// TestStraightCode runs code without loops. It costs its length, and long code pays in pieces.
func TestStraightCode(t *testing.T) {
	for n, charges := range map[int]int{10_000: 3, 20_000: 5} {
		result, err := rewrite.Module(straight(n), options)
		require.NoError(t, err)
		require.Equal(t, charges, result.Charges)
		m := &meter{portion: portion, limit: 1}
		mod := instantiate(t, newRuntime(t), result, m)
		out, err := mod.ExportedFunction("run").Call(context.Background())
		require.NoError(t, err)
		require.EqualValues(t, n, out[0])
		// The constant at the start, the result, and two instructions for each addition.
		require.EqualValues(t, 2*n+2, m.consumed(mod))
		require.EqualValues(t, 1, m.ticks, "only the first tick, as fuel starts at zero")
	}
}

// nested builds a module of functions that each call the previous one twice, unless their argument
// is not zero. That makes 2^n calls, each of which pays for its work only where it does it.
func nested(n int) []byte {
	code := []byte{
		byte(wasm.OpBlock),
		wasm.BlockTypeEmpty,
		byte(wasm.OpLocalGet),
		0,
		byte(wasm.OpBrIf),
		0,
	}
	for range 60 {
		code = append(code, byte(wasm.OpI32Const), 1, byte(wasm.OpDrop))
	}
	i32 := []wasm.ValueType{{Code: wasm.I32}}
	m := wasm.Module{Types: []wasm.FuncType{{Params: i32}}}
	for f := range n {
		body := append([]byte{}, code...)
		for range min(f, 1) * 2 {
			body = wasm.AppendUint32(append(body, byte(wasm.OpLocalGet), 0, byte(wasm.OpCall)),
				uint32(f-1))
		}
		m.Functions = append(m.Functions, 0)
		m.Bodies = append(m.Bodies,
			wasm.Body{Code: append(body, byte(wasm.OpEnd), byte(wasm.OpEnd))})
	}
	m.Exports = []wasm.Export{{Name: "run", Kind: wasm.ExternFunction, Index: uint32(n - 1)}}
	return m.Encode()
}

// TestSlackIsLookedAt runs code that pays without checking the remaining fuel. Other code checks it
// soon after.
func TestSlackIsLookedAt(t *testing.T) {
	result, err := rewrite.Module(nested(40), options)
	require.NoError(t, err)
	m := &meter{portion: portion, limit: 50}
	mod := instantiate(t, newRuntime(t), result, m)
	_, err = mod.ExportedFunction("run").Call(context.Background(), 1)
	require.NoError(t, err)
	require.Less(t, m.consumed(mod), int64(20), "code that does not run is not paid for")
	_, err = mod.ExportedFunction("run").Call(context.Background(), 0)
	require.ErrorIs(t, err, errOutOfFuel)
	require.Greater(t, m.consumed(mod), (m.limit-1)*portion)
	require.Less(t, m.consumed(mod), (m.limit+2)*portion)
}

// stacked builds a module of functions that each call the previous one many times in a row. The
// first function adds for a long time. Each pays for its work at checkpoints, except for the little
// after the last one.
func stacked(n int) []byte {
	m := wasm.Module{Types: []wasm.FuncType{{}}}
	long := bytes.Repeat([]byte{byte(wasm.OpI32Const), 1, byte(wasm.OpDrop)}, 5001)
	for f := range n {
		code := long
		if f > 0 {
			call := wasm.AppendUint32([]byte{byte(wasm.OpCall)}, uint32(f-1))
			code = bytes.Repeat(call, 5001)
		}
		m.Functions = append(m.Functions, 0)
		m.Bodies = append(m.Bodies, wasm.Body{Code: append(slices.Clip(code), byte(wasm.OpEnd))})
	}
	m.Exports = []wasm.Export{{Name: "run", Kind: wasm.ExternFunction, Index: uint32(n - 1)}}
	return m.Encode()
}

// TestCallsArePaidNearThem runs nested calls of long functions. No caller pays for all of it in
// advance.
func TestCallsArePaidNearThem(t *testing.T) {
	result, err := rewrite.Module(stacked(7), options)
	require.NoError(t, err)
	m := &meter{portion: portion, limit: 50}
	mod := instantiate(t, newRuntime(t), result, m)
	_, err = mod.ExportedFunction("run").Call(context.Background())
	require.ErrorIs(t, err, errOutOfFuel)
	require.Greater(t, m.consumed(mod), m.limit*portion)
	require.Less(t, m.consumed(mod), (m.limit+2)*portion)
}

// TestFuelIsDeterministic runs the same work with different portions of fuel, and twice in one
// instance. The results must match those without the rewrite.
func TestFuelIsDeterministic(t *testing.T) {
	ctx := context.Background()
	plain, err := newRuntime(t).Instantiate(ctx, read(t, "arithmetic"))
	require.NoError(t, err)
	expected, err := plain.ExportedFunction("run").Call(ctx)
	require.NoError(t, err)

	o := options
	o.MemoryMaxPages = 4
	result, err := rewrite.Module(read(t, "arithmetic"), o)
	require.NoError(t, err)
	var consumed []int64
	for _, portion := range []int64{1, 777, 50_000, 1 << 40} {
		m := &meter{portion: portion, limit: 1 << 40}
		mod := instantiate(t, newRuntime(t), result, m)
		for range 2 {
			before := m.consumed(mod)
			out, err := mod.ExportedFunction("run").Call(ctx)
			require.NoError(t, err)
			require.Equal(t, expected, out)
			consumed = append(consumed, m.consumed(mod)-before)
		}
	}
	for i := 2; i < len(consumed); i++ {
		require.Equal(t, consumed[i-2], consumed[i])
	}
	require.EqualValues(t, 2*65536/8, consumed[0]-consumed[1],
		"only the first run can grow the memory by two pages")
}

// TestFuelIsNearTheInstructionCount compares the fuel with the number of instructions that a loop
// executes.
func TestFuelIsNearTheInstructionCount(t *testing.T) {
	m := &meter{portion: portion, limit: 1000}
	mod := run(t, "arithmetic", m)
	require.Greater(t, m.consumed(mod), int64(2_000_000))
	require.Less(t, m.consumed(mod), int64(15_000_000))
}

// TestDeepReturnsPay checks that a recursive function also pays after the call: returning from a
// deep stack runs the ends of many functions without entering any.
func TestDeepReturnsPay(t *testing.T) {
	result, err := rewrite.Module(read(t, "deep_return"), options)
	require.NoError(t, err)
	m, err := wasm.Decode(result.Module)
	require.NoError(t, err)
	const tick, deep = 0, 1
	var calls []uint32
	c := m.Cursor()
	c.Reset(&m.Bodies[0], 1)
	for in := (wasm.Instruction{}); c.Next(&in); {
		if in.Op == wasm.OpCall {
			calls = append(calls, in.X)
		}
	}
	require.NoError(t, c.Err())
	require.Equal(t, []uint32{tick, deep, tick}, calls, "at the entry and after the call")
}
