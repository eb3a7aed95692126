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

// PageSize is the size of a linear memory page in bytes (WebAssembly core specification 2.0,
// 4.2.8).
const PageSize = memory.PageSize

// Limits bounds what one module and one evaluation may use, and what all of them may use together.
// A zero field takes the value from [DefaultLimits].
type Limits struct {
	// ModuleBytes is the maximum size of a module's binary in bytes.
	ModuleBytes int64
	// MemoryBytes is the maximum size of one instance's linear memory in bytes, rounded down to
	// whole pages. If a guest asks for more, memory.grow fails, as the specification defines. The
	// engine does not load a module that declares a larger minimum. A memory can have at most 4
	// GiB, of which the last page is not available.
	MemoryBytes int64
	// TableEntries is the maximum number of entries in all tables of a module together. If a guest
	// asks for more, table.grow fails. The engine does not load a module that declares a larger
	// minimum. Go programs have the largest tables, with an entry for every function: an 84 MB
	// program has about 55,000. One instruction may move all entries, 8 bytes each, and nothing can
	// interrupt it.
	TableEntries uint32
	// Fuel is the fuel budget of an evaluation. Each instruction burns one to two and a half units.
	// Fuel does not measure time: the same module burns the same fuel for the same request on every
	// machine.
	Fuel int64
	// StackBytes is the maximum stack size of nested calls in bytes, at most 512 MiB. The engine
	// estimates the compiler's stack frame for each function, and the estimate is the same on every
	// machine. A large stack costs more than memory: the runtime moves it when it grows, and
	// nothing can interrupt the guest meanwhile.
	StackBytes int64
	// Timeout is the maximum wall-clock time of an evaluation, from Acquire to the end of its last
	// call. The context given to Acquire may end the evaluation earlier.
	Timeout time.Duration
	// Instances is the maximum number of instances of one module in use at the same time. Further
	// evaluations wait for an instance in order of arrival, within their own timeout.
	Instances int
	// Waiters is the maximum number of evaluations that wait for an instance of one module. Further
	// evaluations fail immediately.
	Waiters int
	// LoadTimeout is the maximum wall-clock time to load a module, counted from its turn: to meter,
	// compile, and start it, and to take its snapshot. The largest known module, 84 MB of Go, takes
	// 20 seconds.
	LoadTimeout time.Duration
	// CompilerBytes is the maximum memory of all compiling child processes together, in bytes, and
	// at least 128 MiB. Each child gets at most 256 MiB. A module of 8 MiB or more, or one whose
	// compilation killed a child, gets all of it in a child that runs alone. In a container, the
	// children share this process's memory limit.
	CompilerBytes int64
	// Compilers is the maximum number of child processes that compile at the same time. The engine
	// starts no more than fit into CompilerBytes with 256 MiB each.
	Compilers int
	// PoolBytes is the maximum size in bytes of the linear memories, images, and code of all
	// modules, plus what idle instances keep on the Go heap (stacks, globals, tables).
	PoolBytes int64
	// Compilation bounds the cost of compiling a module. The engine counts and estimates that cost
	// beforehand, because the compiler's time and memory grow faster than a module's size.
	Compilation CompilationLimits
}

// CompilationLimits bounds the cost of compiling a module. See package weight.
type CompilationLimits = weight.Bounds

// DefaultLimits are the limits that an engine uses unless configured otherwise.
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
		return fmt.Errorf(
			"limit on linear memory is %d bytes: must be between one page (%d) and %d",
			l.MemoryBytes, PageSize, int64(memory.MaxLimit))
	case l.TableEntries > wasm.MaxTableSize:
		return fmt.Errorf("limit on tables is %d entries: must be at most %d", l.TableEntries,
			wasm.MaxTableSize)
	case l.Fuel < 0:
		return fmt.Errorf("limit on fuel is %d: must be positive", l.Fuel)
	case l.StackBytes < 0 || l.StackBytes > rewrite.MaxStackBytes/2:
		return fmt.Errorf("limit on stack is %d bytes: must be positive and at most %d",
			l.StackBytes, rewrite.MaxStackBytes/2)
	case l.Timeout < 0:
		return fmt.Errorf("limit on an evaluation's time is %v: must be positive", l.Timeout)
	case l.Instances < 0 || l.Waiters < 0 || l.PoolBytes < 0:
		return fmt.Errorf(
			"limits on instances (%d), waiters (%d) and bytes in pools (%d) must be positive",
			l.Instances, l.Waiters, l.PoolBytes)
	case l.LoadTimeout < 0:
		return fmt.Errorf("limit on the time to load a module is %v: must be positive",
			l.LoadTimeout)
	case l.Compilers < 0:
		return fmt.Errorf("limit on processes that compile is %d: must be positive", l.Compilers)
	case l.CompilerBytes < worker.MinMemoryBytes:
		return fmt.Errorf(
			"limit on the memory of processes that compile is %d bytes: must be at least %d",
			l.CompilerBytes, worker.MinMemoryBytes)
	}
	return l.Compilation.Validate()
}
