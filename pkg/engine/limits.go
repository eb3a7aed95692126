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
	"cmp"
	"fmt"
	"runtime"
	"time"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/worker"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// PageSize is the size of a page of linear memory in bytes (WebAssembly core
// specification 2.0, 4.2.8).
const PageSize = memory.PageSize

// Limits bounds what one module and one evaluation may use, and what all of them
// may use together. A zero field takes the value of [DefaultLimits].
type Limits struct {
	// ModuleBytes is the largest size of a module's binary in bytes.
	ModuleBytes int64
	// MemoryBytes is the largest size of the linear memory of one instance in
	// bytes. It is rounded down to whole pages. A guest that asks for more is
	// told so by memory.grow, as the specification has it; a module that
	// declares more as its minimum is not loaded. Of the 4 GiB that a memory can
	// have at most, the last page is not available.
	MemoryBytes int64
	// TableEntries is the largest size of a module's tables, all of them together.
	// A guest that asks for more is told so by table.grow; a module that declares
	// more as their minimum is not loaded. Programs of Go have the largest, with an
	// entry for every function: one of 84 MB about 55,000. An instruction may move
	// all of them, 8 bytes each, and nothing can stop it.
	TableEntries uint32
	// Fuel is what an evaluation may burn, one to two and a half units for each instruction.
	// It is a budget and no clock: the same module with the same request burns
	// the same on every machine.
	Fuel int64
	// StackBytes is how much stack nested calls may take, in bytes, at most 512 MiB. It
	// is an estimate of what the compiler makes of a function, which is the same on
	// every machine. A long stack is more than a waste: the runtime moves it when it
	// grows, and nothing can stop the guest meanwhile.
	StackBytes int64
	// Timeout is the wall-clock time that an evaluation may take, from Acquire
	// to the end of its last call. The context given to Acquire may end it
	// earlier.
	Timeout time.Duration
	// Instances is how many instances of one module may be in use at the same
	// time. More evaluations wait for one, in the order in which they came and
	// within their own time.
	Instances int
	// Waiters is how many evaluations may wait for an instance of one module.
	// Further ones fail at once.
	Waiters int
	// LoadTimeout is the wall-clock time that loading a module may take once it is its turn: metering and
	// compiling it, starting it and taking its snapshot. The largest known, of Go with 84 MB, take 20 seconds.
	LoadTimeout time.Duration
	// CompilerBytes is the memory that child processes may take that compile, all together, in bytes, at least
	// 128 MiB. Each has at most 256 MiB, and a module of 8 MiB and more, or one in whose compilation a
	// process died, all of it in a process that is alone. In a container they share the memory limit of this process.
	CompilerBytes int64
	// Compilers is how many child processes may compile at a time; there are no more than fit into CompilerBytes
	// with 256 MiB each.
	Compilers int
	// PoolBytes is what the linear memories, images and code of all modules, and what
	// idle instances keep on the Go heap (stacks, globals, tables), may take
	// together, in bytes.
	PoolBytes int64
	// Compilation bounds what a module costs to compile, as it is counted and
	// estimated before: the compiler's time and memory grow faster than a module.
	Compilation CompilationLimits
}

// CompilationLimits are bounds on what a module costs to compile. See package weight.
type CompilationLimits = weight.Bounds

// DefaultLimits are the limits of an engine that was not told otherwise.
var DefaultLimits = Limits{
	ModuleBytes:  128 << 20,
	MemoryBytes:  128 << 20,
	TableEntries: 1 << 17,
	Fuel:         20_000_000_000,
	StackBytes:   6 << 20,
	Timeout:      2 * time.Second,
	Instances:    max(4, 2*runtime.GOMAXPROCS(0)),
	Waiters:      1000,
	PoolBytes:    2 << 30,

	LoadTimeout:   2 * time.Minute,
	CompilerBytes: 1 << 30,
	Compilers:     runtime.GOMAXPROCS(0),
	Compilation:   weight.DefaultBounds,
}

func (l Limits) withDefaults() Limits {
	if l.MemoryBytes == memory.MaxLimit+PageSize {
		l.MemoryBytes = memory.MaxLimit
	}
	return Limits{
		ModuleBytes:  cmp.Or(l.ModuleBytes, DefaultLimits.ModuleBytes),
		MemoryBytes:  cmp.Or(l.MemoryBytes, DefaultLimits.MemoryBytes) / PageSize * PageSize,
		TableEntries: cmp.Or(l.TableEntries, DefaultLimits.TableEntries),
		Fuel:         cmp.Or(l.Fuel, DefaultLimits.Fuel),
		StackBytes:   cmp.Or(l.StackBytes, DefaultLimits.StackBytes),
		Timeout:      cmp.Or(l.Timeout, DefaultLimits.Timeout),
		Instances:    cmp.Or(l.Instances, DefaultLimits.Instances),
		Waiters:      cmp.Or(l.Waiters, DefaultLimits.Waiters),
		PoolBytes:    cmp.Or(l.PoolBytes, DefaultLimits.PoolBytes),

		LoadTimeout:   cmp.Or(l.LoadTimeout, DefaultLimits.LoadTimeout),
		CompilerBytes: cmp.Or(l.CompilerBytes, DefaultLimits.CompilerBytes),
		Compilers:     cmp.Or(l.Compilers, DefaultLimits.Compilers),
		Compilation:   l.Compilation.WithDefaults(),
	}
}

func (l Limits) validate() error {
	switch {
	case l.ModuleBytes < 0:
		return fmt.Errorf("limit on the module's size is %d bytes: must be positive", l.ModuleBytes)
	case l.MemoryBytes < PageSize || l.MemoryBytes > memory.MaxLimit:
		return fmt.Errorf("limit on linear memory is %d bytes: must be between one page (%d) and %d", l.MemoryBytes, PageSize, int64(memory.MaxLimit))
	case l.TableEntries > wasm.MaxTableSize:
		return fmt.Errorf("limit on tables is %d entries: must be at most %d", l.TableEntries, wasm.MaxTableSize)
	case l.Fuel < 0:
		return fmt.Errorf("limit on fuel is %d: must be positive", l.Fuel)
	case l.StackBytes < 0 || l.StackBytes > rewrite.MaxStackBytes/2:
		return fmt.Errorf("limit on stack is %d bytes: must be positive and at most %d", l.StackBytes, rewrite.MaxStackBytes/2)
	case l.Timeout < 0:
		return fmt.Errorf("limit on an evaluation's time is %v: must be positive", l.Timeout)
	case l.Instances < 0 || l.Waiters < 0 || l.PoolBytes < 0:
		return fmt.Errorf("limits on instances (%d), waiters (%d) and bytes in pools (%d) must be positive", l.Instances, l.Waiters, l.PoolBytes)
	case l.LoadTimeout < 0:
		return fmt.Errorf("limit on the time to load a module is %v: must be positive", l.LoadTimeout)
	case l.Compilers < 0:
		return fmt.Errorf("limit on processes that compile is %d: must be positive", l.Compilers)
	case l.CompilerBytes < worker.MinMemoryBytes:
		return fmt.Errorf("limit on the memory of processes that compile is %d bytes: must be at least %d", l.CompilerBytes, worker.MinMemoryBytes)
	}
	return l.Compilation.Validate()
}
