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
	"reflect"

	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
)

// The Go heap that an instance takes, in bytes. The runtime does not report it: these numbers come
// from wazero v1.12, rounded up. `make attack` measures what they miss.
const (
	// instanceHeapBytes is the heap of every instance. handleHeapBytes is that of a function handle
	// without its stack.
	instanceHeapBytes = 24 << 10
	handleHeapBytes   = 2 << 10
	// globalHeapBytes covers the runtime's value, its slot in compiled code, and the engine's state
	// to restore it.
	globalHeapBytes = 160
	// tableEntryHeapBytes is the size of a reference. elementHeapBytes is the size of its referent,
	// which the runtime allocates anew for each entry of a segment.
	tableEntryHeapBytes = 8
	elementHeapBytes    = 64
	segmentHeapBytes    = 32
	importHeapBytes     = 64
)

// maxKeptStacks is the maximum total size in bytes of the stacks that an instance's handles keep
// between evaluations. The budget counts these stacks. If they grow beyond it, the engine drops the
// handles.
const maxKeptStacks = 256 << 10

// heapBytes returns an instance's share of the Go heap without its handles.
func heapBytes(r *rewrite.Result) uint64 {
	c := &r.Instance
	return instanceHeapBytes +
		globalHeapBytes*uint64(c.Globals) +
		tableEntryHeapBytes*c.TableEntries +
		elementHeapBytes*c.ElementEntries +
		segmentHeapBytes*uint64(c.Segments) +
		importHeapBytes*uint64(len(r.FunctionImports))
}

// checkInstance bounds the uninterruptible work of the runtime for each new instance. The runtime
// walks the element segments, and the data segments that the rewrite could not extract.
func (p *plan) checkInstance(c *rewrite.Contents) error {
	if most := int64(p.limits.TableEntries); int64(c.ElementEntries) > most {
		return &LimitError{
			Limit: "entries of element segments",
			Value: int64(c.ElementEntries),
			Max:   most,
		}
	}
	if most := p.limits.MemoryBytes / keptDataShare; int64(c.DataBytes) > most {
		return &LimitError{
			Limit: "bytes of data segments that only the runtime can place",
			Value: int64(c.DataBytes),
			Max:   most,
		}
	}
	return nil
}

// keptDataShare divides the memory limit to get the bytes of data segments that may stay in the
// module. Nearly all modules keep none. With the default limit, that is 16 MiB, which takes 9 ms.
// Element segments may have as many entries as tables: with the default limit 131,072, which take
// 10 ms, and several times that while the garbage collector is busy.
const keptDataShare = 8

// makingFuel is the fuel that an evaluation pays for an instance that is made for it alone, ten
// units for a nanosecond as in [Instance.Burn].
func makingFuel(c *rewrite.Contents) int64 {
	const perElement, perByte = 800, 6
	return perElement*int64(c.ElementEntries) + perByte*int64(c.DataBytes)
}

// dropGrownHandles drops the instance's handles if their stacks have grown too large. The runtime
// never shrinks a stack.
func (i *Instance) dropGrownHandles() {
	if i.stackBytes() > maxKeptStacks {
		i.dropHandles()
	}
}

// chargeHeap adjusts the reservation for the instance's heap to its handles and its parked program.
// It can fail only if the reservation grows. It does not make other modules reclaim memory.
func (i *Instance) chargeHeap() error {
	handles := uint64(len(i.functions) + len(i.callbacks))
	want := i.module.heapBytes + handleHeapBytes*handles + i.stackBytes() + i.parkedBytes()
	if want > i.heapCharged {
		if err := i.module.budget.TryReserve(want - i.heapCharged); err != nil {
			return err
		}
	} else {
		i.module.budget.Release(i.heapCharged - want)
	}
	i.noteHeap(want)
	return nil
}

// noteHeap records the current reservation for the instance's heap.
func (i *Instance) noteHeap(want uint64) {
	i.module.engine.heap.Add(int64(want) - int64(i.heapCharged))
	i.heapCharged = want
}

// dropHandles drops the functions that were called, and with them their stacks.
func (i *Instance) dropHandles() {
	clear(i.functions)
	clear(i.callbacks)
	i.parked = parked{}
}

// stackBytes returns the total size of the stacks of the instance's handles.
func (i *Instance) stackBytes() (sum uint64) {
	for _, f := range i.functions {
		sum += handleStackBytes(f)
	}
	for _, f := range i.callbacks {
		sum += handleStackBytes(f)
	}
	return sum
}

// parkedBytes returns the size of the parked program's stack.
func (i *Instance) parkedBytes() uint64 {
	if i.parked.frames == nil {
		return 0
	}
	return uint64(stackBytes(i.parked.frames))
}

// handleStackBytes returns the size of a handle's stack. If the stack is not where wazero v1.12
// keeps it, the handle counts as large. The engine then drops it, and a test fails.
func handleStackBytes(f api.Function) uint64 {
	if f == nil {
		return 0
	}
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return 0
	}
	stack := stackField(v.Elem())
	if stack < 0 {
		return 2 * maxKeptStacks
	}
	field := v.Elem().Field(stack)
	return uint64(field.Cap()) * uint64(field.Type().Elem().Size())
}

// stackField returns the index of a handle's stack field, or -1. Looking the field up by name would
// allocate.
func stackField(v reflect.Value) int {
	if v.Kind() != reflect.Struct {
		return -1
	}
	for n := range min(v.NumField(), 2) {
		if v.Field(n).Kind() == reflect.Slice {
			return n
		}
	}
	return -1
}
