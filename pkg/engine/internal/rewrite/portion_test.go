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
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

const (
	mib  = 1 << 20
	half = mib / 2
)

// bulkModule returns the module of bulk.wat with a data segment of n bytes.
func bulkModule(t testing.TB, n int) []byte {
	t.Helper()
	m, err := wasm.Decode(read(t, "bulk"))
	require.NoError(t, err)
	m.Data[0].Bytes = make([]byte, n)
	for i := range m.Data[0].Bytes {
		m.Data[0].Bytes[i] = byte(i * 7 >> 3)
	}
	return m.Encode()
}

// TestLongBulkOperations runs bulk operations of all lengths, in and out of bounds, in a rewritten
// module and in the original. Both must trap alike and leave the same memory.
func TestLongBulkOperations(t *testing.T) {
	ctx := context.Background()
	const size, segment = 4 * mib, mib + 3
	module := bulkModule(t, segment)
	result, err := rewrite.Module(module, plainOptions())
	require.NoError(t, err)
	m := &meter{portion: 1 << 30, limit: 1 << 30}
	rewritten := instantiate(t, newRuntime(t), result, m)
	plain, err := newRuntime(t).Instantiate(ctx, module)
	require.NoError(t, err)

	for _, c := range []struct {
		function               string
		target, source, length uint32
	}{
		{"fill", 0, 1, half},
		{"fill", 5, 2, half + 1},
		{"fill", 0, 3, size},
		{"fill", 1, 4, size},
		{"fill", size - mib, 5, mib},
		{"fill", size - mib, 6, mib + 1},
		{"fill", 1 << 31, 7, 1 << 31},
		{"fill", 1 << 31, 8, 1<<31 + 1},
		{"fill", size, 9, 1<<32 - 1},
		{"init", 0, 0, segment},
		{"init", 1, 0, segment + 1},
		{"init", 7, 3, mib},
		{"init", size - mib, 3, mib},
		{"init", size - mib, 3, mib + 1},
		{"init", 0, 1<<32 - 1, mib},
		{"copy", 0, mib, mib},
		{"copy", 100, 0, 2 * mib},
		{"copy", 0, 100, 2 * mib},
		{"copy", half + 9, 1, 3 * mib},
		{"copy", 1, half + 9, 3 * mib},
		{"copy", 3, 3, 3*mib + 1},
		{"copy", 2 * mib, 0, 2 * mib},
		{"copy", 2 * mib, 0, 2*mib + 1},
		{"copy", 0, 2 * mib, 2*mib + 1},
		{"copy", 1<<32 - 1, 0, mib},
		{"copy", 0, 1<<32 - 1, mib},
		{"copy", 5, 6, 1<<32 - 1},
	} {
		t.Run(fmt.Sprintf("%s %d %d %d", c.function, c.target, c.source, c.length),
			func(t *testing.T) {
				operands := []uint64{uint64(c.target), uint64(c.source), uint64(c.length)}
				before, ticks := m.consumed(rewritten), m.ticks
				_, plainErr := plain.ExportedFunction(c.function).Call(ctx, operands...)
				_, err := rewritten.ExportedFunction(c.function).Call(ctx, operands...)
				require.Equal(t, trap(plainErr), trap(err))
				require.Equal(t, contents(t, plain), contents(t, rewritten))
				if err == nil {
					require.InDelta(t, c.length/8, m.consumed(rewritten)-before, 32)
					require.GreaterOrEqual(t, m.ticks-ticks, int64(c.length/(half+1)),
						"a tick after each portion")
				}
			})
	}
}

func contents(t testing.TB, m api.Module) [sha256.Size]byte {
	t.Helper()
	b, ok := m.Memory().Read(0, m.Memory().Size())
	require.True(t, ok)
	return sha256.Sum256(b)
}

// TestAddedFunctionsAreShared checks that operations of one kind share one function, and that a
// short segment needs none.
func TestAddedFunctionsAreShared(t *testing.T) {
	for length, added := range map[int]int{half: 2, half + 1: 3} {
		module := bulkModule(t, length)
		before, err := wasm.Decode(module)
		require.NoError(t, err)
		// A second function with the same operations.
		before.Functions = append(before.Functions, before.Functions...)
		before.Bodies = append(before.Bodies, before.Bodies...)
		result, err := rewrite.Module(before.Encode(), options)
		require.NoError(t, err)
		after, err := wasm.Decode(result.Module)
		require.NoError(t, err)
		require.Len(t, after.Bodies, len(before.Bodies)+added)
	}
}

// TestAdoptedMemory turns an imported memory into the module's own.
func TestAdoptedMemory(t *testing.T) {
	ctx := context.Background()
	o := options
	o.AdoptMemory, o.MemoryMaxPages = true, 5
	result, err := rewrite.Module(read(t, "imported_memory"), o)
	require.NoError(t, err)
	require.Equal(t, rewrite.Memory{
		Present:      true,
		Imported:     true,
		ImportModule: "env",
		ImportName:   "memory",
		MinPages:     2,
		OriginalMax:  9,
		HasMax:       true,
	}, result.Memory)
	require.Empty(t, result.NeedsFreshInstance)
	require.Equal(t, []rewrite.Segment{{Offset: 16, Bytes: []byte("data")}}, result.Image)

	r := newRuntime(t)
	_, err = r.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func(uint32) {}).
		Export("log").Instantiate(ctx)
	require.NoError(t, err)
	mod := instantiate(t, r, result, &meter{portion: portion, limit: 1000})
	require.EqualValues(t, 2*65536, mod.Memory().Size())
	call := func(name string, params ...uint64) uint64 {
		out, err := mod.ExportedFunction(name).Call(ctx, params...)
		require.NoError(t, err)
		return append(out, 0)[0]
	}
	call("set", 8, 42)
	require.EqualValues(t, 42, call("get", 8))
	require.EqualValues(t, 2, call("grow", 3))
	require.EqualValues(t, 1<<32-1, call("grow", 1))
	require.True(t, bytes.Contains(result.Module, []byte("memory")), "the module's exports stay")
}
