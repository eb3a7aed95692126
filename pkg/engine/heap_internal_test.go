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

package engine

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// maxUncounted is how many bytes of Go heap an idle instance may take that the budget does not
// count.
const maxUncounted = 64 << 10

// liveHeap returns the size of the live Go heap.
func liveHeap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// The budget counts what idle instances take of the Go heap, except for a small remainder.
func TestTheHeapOfIdleInstancesIsCounted(t *testing.T) {
	const instances = 16
	abi := &ABI{Name: "heap"}
	for _, name := range []string{"tables", "segments", "names", "big-memory", "big-table"} {
		t.Run(name, func(t *testing.T) {
			binary, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
			require.NoError(t, err)
			e, err := New(Options{Limits: Limits{Instances: instances}, Compilation: InProcess})
			require.NoError(t, err)
			defer func() { require.NoError(t, e.Close()) }()
			m, err := e.Load(t.Context(), binary, abi)
			require.NoError(t, err)
			defer m.Close()
			before := liveHeap()
			all := make([]*Instance, instances)
			for n := range all {
				all[n], err = m.Acquire(t.Context(), Evaluation{})
				require.NoError(t, err)
			}
			var counted int64
			for _, i := range all {
				counted += int64(i.heapCharged)
			}
			uncounted := (liveHeap() - before - counted) / instances
			t.Logf("%d KiB counted of each instance, %d KiB not", counted/instances>>10,
				uncounted>>10)
			require.LessOrEqual(t, uncounted, int64(maxUncounted))
			for _, i := range all {
				i.Release()
			}
		})
	}
}

// section is a section of a module in the binary format.
func section(id byte, content ...byte) []byte {
	return append(wasm.AppendUint32([]byte{id}, uint32(len(content))), content...)
}

func module(sections ...[]byte) []byte {
	return slices.Concat(append([][]byte{[]byte("\x00asm\x01\x00\x00\x00")}, sections...)...)
}

func loadHeap(t *testing.T, limits Limits, binary []byte) (*Module, error) {
	t.Helper()
	e, err := New(Options{Limits: limits, Compilation: InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	m, err := e.Load(t.Context(), binary, &ABI{Name: "heap"})
	if err == nil {
		t.Cleanup(m.Close)
	}
	return m, err
}

// Grown stacks are counted, and very large ones are dropped.
func TestGrownStacksAreCountedOrDropped(t *testing.T) {
	m, err := loadHeap(t, Limits{Instances: 1, Timeout: time.Minute}, module(
		section(1, 1, 0x60, 1, 0x7f, 0), // deep(n) calls deep(n-1), down to zero
		section(3, 1, 0),
		section(7, 1, 4, 'd', 'e', 'e', 'p', 0, 0),
		section(10, 1, 14, 0, 0x20, 0, 4, 0x40, 0x20, 0, 0x41, 1, 0x6b, 0x10, 0, 0x0b, 0x0b)))
	require.NoError(t, err)
	for depth, kept := range map[uint64]bool{1: true, 500: true, 30_000: false} {
		i, err := m.Acquire(t.Context(), Evaluation{})
		require.NoError(t, err)
		_, err = i.Call("deep", depth)
		require.NoError(t, err)
		grown := i.stackBytes()
		require.Equal(t, kept, grown <= maxKeptStacks, "%d calls took %d bytes", depth, grown)
		i.Release()
		require.Equal(t, kept, len(i.functions) > 0, "%d calls", depth)
		require.LessOrEqual(t, i.stackBytes(), uint64(maxKeptStacks))
		require.GreaterOrEqual(t, i.heapCharged, m.heapBytes+i.stackBytes())
	}
}

// Results of calls take stack while further calls run.
func TestResultsOfCallsTakeStack(t *testing.T) {
	const results = 100
	many := slices.Concat([]byte{0}, bytes.Repeat([]byte{0x41, 0}, results), []byte{0x0b})
	deep := slices.Concat([]byte{0, 0x20, 0, 4, 0x40, 0x10, 0, 0x20, 0, 0x41, 1, 0x6b, 0x10, 1},
		bytes.Repeat([]byte{0x1a}, results), []byte{0x0b, 0x0b})
	code := slices.Concat([]byte{2}, wasm.AppendUint32(nil, uint32(len(many))), many,
		wasm.AppendUint32(nil, uint32(len(deep))), deep)
	m, err := loadHeap(t, Limits{StackBytes: 64 << 10}, module(
		section(1,
			slices.Concat([]byte{2, 0x60, 0, results}, bytes.Repeat([]byte{0x7f}, results),
				[]byte{0x60, 1, 0x7f, 0})...),
		section(3, 2, 0, 1),
		section(7, 1, 4, 'd', 'e', 'e', 'p', 0, 1),
		section(10, code...)))
	require.NoError(t, err)
	i, err := m.Acquire(t.Context(), Evaluation{})
	require.NoError(t, err)
	defer i.Release()
	_, err = i.Call("deep", 10)
	require.NoError(t, err)
	_, err = i.Call("deep", 100)
	require.Equal(t, CauseStack, CauseOf(err), "%v", err)
}

// The runtime's uninterruptible work for each new instance is bounded.
func TestInstantiationIsBounded(t *testing.T) {
	one := section(1, 1, 0x60, 0, 0)
	segments := func(n byte) []byte {
		return module(one, section(3, 1, 0), section(4, 1, 0x70, 0, 1),
			section(9,
				append([]byte{n}, bytes.Repeat([]byte{0, 0x41, 0, 0x0b, 1, 0}, int(n))...)...),
			section(10, 1, 2, 0, 0x0b))
	}
	_, err := loadHeap(t, Limits{TableEntries: 4}, segments(4))
	require.NoError(t, err)
	_, err = loadHeap(t, Limits{TableEntries: 4}, segments(5))
	require.Equal(t, CauseLimit, CauseOf(err))
	require.ErrorContains(t, err, "entries of element segments")

	data := func(n uint32) []byte { // at a nonconstant offset
		return module(section(5, 1, 0, 1), section(6, 1, 0x7f, 0, 0x41, 0, 0x0b),
			section(11,
				slices.Concat([]byte{1, 0, 0x23, 0, 0x0b}, wasm.AppendUint32(nil, n),
					make([]byte, n))...))
	}
	_, err = loadHeap(t, Limits{MemoryBytes: PageSize}, data(PageSize/keptDataShare+1))
	require.Equal(t, CauseLimit, CauseOf(err))
	require.ErrorContains(t, err, "bytes of data segments")
}

// patience is a context that ends after it was checked a given number of times.
type patience struct {
	context.Context
	left int
}

func (p *patience) Err() error {
	if p.left--; p.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// When an evaluation's time ends, making its instance ends, too.
func TestInstantiationEndsWithItsTime(t *testing.T) {
	const beyondLazy = 4 << 20
	for name, binary := range map[string][]byte{
		"without an image": module(section(5,
			slices.Concat([]byte{1, 0},
				wasm.AppendUint32(nil, (lazyBytes+beyondLazy)/PageSize))...)),
		"with one": module(section(5,
			slices.Concat([]byte{1, 0},
				wasm.AppendUint32(nil, (lazyBytes+beyondLazy)/PageSize))...),
			section(11, 1, 0, 0x41, 0, 0x0b, 1, 'x')),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := loadHeap(t, Limits{}, binary)
			require.NoError(t, err)
			before := m.engine.Stats()
			looks := 0
			for ; ; looks++ {
				i, err := m.instantiate(&patience{t.Context(), looks}, m.snapshot.image)
				if err == nil {
					i.destroy()
					break
				}
				require.Equal(t, CauseDeadline, CauseOf(err), "%v", err)
				require.Equal(t, before, m.engine.Stats(), "the instance leaves nothing behind")
			}
			require.GreaterOrEqual(t, looks, 3+beyondLazy>>20,
				"the context is checked at each step, and for each MiB that is backed")
		})
	}
}

// An evaluation pays for an instance that serves it alone.
func TestInstancesForOneEvaluationHaveTheirPrice(t *testing.T) {
	binary := func(entries byte) []byte { // the function sets the table's first entry
		return module(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(4, 1, 0x70, 0, entries),
			section(7, 1, 1, 'f', 0, 0),
			section(9, append([]byte{1, 0, 0x41, 0, 0x0b, entries}, make([]byte, entries)...)...),
			section(10, 1, 8, 0, 0x41, 0, 0xd2, 0, 0x26, 0, 0x0b))
	}
	const entries, price = 100, 80_000
	m, err := loadHeap(t, Limits{Fuel: price}, binary(entries))
	require.NoError(t, err)
	require.NotEmpty(t, m.FreshInstances())
	i, err := m.Acquire(t.Context(), Evaluation{})
	require.NoError(t, err)
	require.EqualValues(t, price, i.Usage().Fuel)
	i.Release()
	m, err = loadHeap(t, Limits{Fuel: price - 1}, binary(entries))
	require.NoError(t, err)
	_, err = m.Acquire(t.Context(), Evaluation{})
	require.Equal(t, CauseFuel, CauseOf(err), "%v", err)
	require.Zero(t, m.engine.Stats().InUse)
}
