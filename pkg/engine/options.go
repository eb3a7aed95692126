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
	"log/slog"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
)

// ResetStrategy names a way to reset a linear memory to its snapshot.
type ResetStrategy = memory.Strategy

// The reset strategies. [New] refuses any of them but [ResetCopy] if the system does not support
// it.
const (
	// ResetAuto is the fastest strategy that the system supports.
	ResetAuto = memory.Auto
	// ResetPagemapScan asks the kernel which pages were written, and copies the snapshot over them
	// (Linux 6.7 and later).
	ResetPagemapScan = memory.PagemapScan
	// ResetPagemap reads from /proc which pages were written, and copies the snapshot over them.
	ResetPagemap = memory.Pagemap
	// ResetMadvise drops the written pages, so idle instances hold no private memory.
	ResetMadvise = memory.Madvise
	// ResetCopy copies the whole snapshot. It works everywhere.
	ResetCopy = memory.Copy
)

// Options configures an [Engine]. The zero value uses default limits, compiles in child processes,
// keeps no code, and writes no logs.
type Options struct {
	// Limits bounds modules and evaluations.
	Limits Limits
	// Compilation selects the process that compiles modules. The zero value is [ChildProcesses],
	// which requires the program to call [ServeCompilations]; otherwise [New] fails.
	Compilation Compilation
	// CacheDirectory is the absolute path of the directory that keeps compiled code across
	// restarts. The engine creates it with mode 0700 if it does not exist. With [ChildProcesses],
	// [New] fails if the directory belongs to another user, if others may access it, if another
	// process uses it, or if it is otherwise unusable. With [InProcess], the engine then compiles
	// in memory and logs why. Empty means that the engine keeps no code: child processes then write
	// it to directories below [os.TempDir], one for each compilation, which the engine removes
	// afterwards.
	CacheDirectory string
	// Interpreter makes the engine interpret code instead of compiling it to machine code, which is
	// many times slower. The engine falls back to the interpreter, and logs it, on systems that
	// have no compiler or that do not let a process run code that it generated. With the
	// interpreter, no process compiles anything.
	Interpreter bool
	// RequireCompiler makes [New] fail where the engine would fall back to the interpreter.
	RequireCompiler bool
	// Reset selects how linear memories are reset to their snapshot. The default is the fastest
	// strategy that the system supports; the log names it.
	Reset ResetStrategy
	// Logger receives the engine's log. Nil discards it.
	Logger *slog.Logger
	// Recorder receives the engine's measurements. Nil discards them.
	Recorder Recorder
	// Sampler is told which functions of guests burn fuel; nil, as in a server, is not.
	Sampler *Sampler

	// architecture selects whose processor faults the engine works around. Empty means this
	// processor's. Tests set it.
	architecture string
	// maxMappings is the number of memory mappings that the process may have. 0 means the system's
	// limit. now is the clock that measures idle time; nil means [time.Now]. Tests set both.
	maxMappings uint64
	now         func() time.Time
}

// Compilation selects the process that compiles modules.
type Compilation string

const (
	// ChildProcesses compiles modules in child processes of the same binary. Each child has limits
	// on memory and time ([Limits.CompilerBytes], [Limits.LoadTimeout]) and on every other resource
	// that the system can limit. The compiler was not written for untrusted modules: a module can
	// make it use all available memory, run for hours, or overflow its stack, which ends its
	// process. If a module cannot be compiled this way, the engine does not load it, and never
	// falls back to compiling in this process.
	//
	// Child processes bound resources. They are not a sandbox: no guest runs there.
	ChildProcesses Compilation = "ChildProcesses"
	// InProcess compiles modules in this process. It is for programs that trust their modules or
	// that can afford to crash, such as command-line tools and tests.
	InProcess Compilation = "InProcess"
)
