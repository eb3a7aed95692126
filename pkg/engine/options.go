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

// ResetStrategy names a way to bring a linear memory back to its snapshot.
type ResetStrategy = memory.Strategy

// The strategies. Each but [ResetCopy] is refused where the system does not allow it.
const (
	// ResetAuto is the fastest that the system allows.
	ResetAuto = memory.Auto
	// ResetPagemapScan asks the kernel for the pages that were written, and copies the snapshot over them (Linux 6.7).
	ResetPagemapScan = memory.PagemapScan
	// ResetPagemap reads from /proc which pages were written, and copies the snapshot over them.
	ResetPagemap = memory.Pagemap
	// ResetMadvise drops what was written; instances at rest hold no private memory.
	ResetMadvise = memory.Madvise
	// ResetCopy copies the whole snapshot. It works everywhere.
	ResetCopy = memory.Copy
)

// Options configures an [Engine]. The zero value has default limits, compiles in child processes, keeps no code and
// writes no logs.
type Options struct {
	// Limits bounds modules and evaluations.
	Limits Limits
	// Compilation is where modules are compiled. The zero value is [ChildProcesses], which the
	// program has to be made for: it calls [ServeCompilations], or [New] fails.
	Compilation Compilation
	// CacheDirectory is where compiled code is kept across restarts, an
	// absolute path. It is made with mode 0700 if it does not exist. With [ChildProcesses], [New] fails
	// if it belongs to somebody else, if others may use it, if another process uses it, or if it cannot be
	// used otherwise; with [InProcess], code is then compiled in memory, and the log says why. Empty means that
	// no code is kept: what child processes compile then goes through directories below [os.TempDir], one for each
	// compilation and removed after it.
	CacheDirectory string
	// Interpreter makes the engine interpret code instead of compiling it to
	// machine code, which is many times slower. Where the system has no
	// compiler, or does not allow code that a process made itself, this is what
	// happens anyway, and the log says so. Nothing is compiled then, in whichever process.
	Interpreter bool
	// RequireCompiler makes [New] fail where code would have to be interpreted.
	RequireCompiler bool
	// Reset is how linear memories are brought back to their snapshot. The
	// default is the fastest way that the system allows; the log says which.
	Reset ResetStrategy
	// Logger gets what the engine does; nil discards it.
	Logger *slog.Logger
	// Recorder gets what the engine does in numbers; nil discards them.
	Recorder Recorder
	// Sampler is told which functions of guests burn fuel; nil, as in a server, is not.
	Sampler *Sampler

	// architecture is the one for whose faults there is a way around, this one if it is
	// empty. Tests set it.
	architecture string
	// maxMappings is how many mappings the process may have, what the system says if it is 0.
	// Now is the clock by which instances are idle, [time.Now] if it is nil. Tests set both.
	maxMappings uint64
	now         func() time.Time
}

// Compilation says in which process modules are compiled.
type Compilation string

const (
	// ChildProcesses has modules compiled in child processes of the same binary, with limits on
	// memory and time ([Limits.CompilerBytes], [Limits.LoadTimeout]) and on all else that a process can be
	// limited in. The compiler, which was not written for modules that nobody trusts, can be made to take all the
	// memory there is, to take hours, or to overflow its stack, which ends its process. A module that
	// cannot be compiled so is not loaded. There is no way back into this process.
	//
	// It is a boundary for resources and no sandbox: no guest runs there.
	ChildProcesses Compilation = "ChildProcesses"
	// InProcess has modules compiled in the process itself, for programs that trust their
	// modules or that may end: command lines, tests.
	InProcess Compilation = "InProcess"
)
