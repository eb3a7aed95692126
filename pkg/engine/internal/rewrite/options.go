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

package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// Options say how a module is rewritten. There are no defaults: [Module] refuses options that leave a name or limit
// out.
type Options struct {
	// TickModule and TickName are module and name of the imported function that metered code calls when it is out of
	// fuel. It has no parameters and no results. Modules that import anything else from TickModule are refused.
	TickModule, TickName string
	// ExportPrefix starts the names of all exports that the rewrite adds. Modules that export such a name themselves
	// are refused.
	ExportPrefix string
	// MemoryMaxPages becomes the declared maximum of the memory, own or imported, in pages of 64 KiB: 1 to
	// [wasm.MaxMemoryPages]. Modules whose minimum is above it are refused. A smaller maximum of the module's own is
	// raised too, and reported as [Memory.OriginalMax]: the host's allocator enforces it.
	MemoryMaxPages uint32
	// AdoptMemory makes an imported memory the module's own. It is for hosts that would make a memory for every instance
	// of the module and share it with nobody.
	AdoptMemory bool
	// TableMaxEntries bounds the declared maximums of all tables together: 1 to [wasm.MaxTableSize]. Modules whose
	// minimums are above it are refused.
	TableMaxEntries uint32
	// ExtractData takes active data segments out of the module and reports them as [Result.Image]. Whoever makes the
	// memory, be it the module's own or imported, must put them there before any function runs.
	ExtractData bool
	// ExportStart turns the start function into an export, so that the host calls it when and how it wants.
	ExportStart bool
	// LowerReferences takes typed function references out of the module, for engines that do not have them. Whether
	// they were used as their types demand is not checked then: it makes no difference to the module that results.
	LowerReferences bool
	// ReplaceMiscompiled puts others in the place of the instructions that wazero 1.12 compiles wrongly for arm64: integer
	// remainders, i64x2.bitmask, and i32.and and i64.and where their results are compared. What the module computes and the fuel that it burns stay the same.
	ReplaceMiscompiled bool
	// Park makes a program ready to be stopped where it reads, if that is possible. Nil leaves it as it is.
	Park *Park
}

// validate checks the options themselves.
func (o *Options) validate() error {
	switch {
	case o.TickModule == "" || o.TickName == "":
		return errors.New("rewrite options: tick module and tick name are required")
	case o.ExportPrefix == "":
		return errors.New("rewrite options: export prefix is required")
	case o.MemoryMaxPages == 0 || o.MemoryMaxPages > wasm.MaxMemoryPages:
		return fmt.Errorf("rewrite options: memory limit is %d pages, expected 1 to %d", o.MemoryMaxPages, wasm.MaxMemoryPages)
	case o.TableMaxEntries == 0 || o.TableMaxEntries > wasm.MaxTableSize:
		return fmt.Errorf("rewrite options: table limit is %d entries, expected 1 to %d", o.TableMaxEntries, wasm.MaxTableSize)
	}
	return nil
}

// checkReserved refuses modules that use a name which the rewrite keeps for itself.
func (o *Options) checkReserved(m *wasm.Module) error {
	for i := range m.Imports {
		if m.Imports[i].Module == o.TickModule {
			return fmt.Errorf("module imports %q from the reserved module %q", m.Imports[i].Name, o.TickModule)
		}
	}
	for i := range m.Exports {
		if strings.HasPrefix(m.Exports[i].Name, o.ExportPrefix) {
			return fmt.Errorf("module exports %q: names that start with %q are reserved", m.Exports[i].Name, o.ExportPrefix)
		}
	}
	return nil
}

// Result is a rewritten module and what the host must know of it.
type Result struct {
	// Module is the rewritten module in the binary format.
	Module []byte
	// FuelExport is the name of the exported mutable i64 global that holds the fuel. It starts at zero, so that a host
	// which forgets to fill it gets a tick at once. The host may set it to any value from 0 to 1<<62.
	FuelExport string
	// StackExport is the name of the exported mutable i64 global that holds the bytes of stack which are left, as
	// estimated. It starts at [MaxStackBytes]; the host may set it to less. Where it is negative, the code calls the
	// tick: the host has to end the call then. After a call that ended so, or by a trap, the host has to set it again.
	StackExport string
	// Globals are the mutable globals of the module that the host can save and restore.
	Globals []Global
	// Memory describes the memory as the module had it.
	Memory Memory
	// Image is the content of the data segments that were taken out, in the order in which they are to be written:
	// later ones may overwrite earlier ones. It aliases the input. Nil if there was nothing to take out, or if ImageKept
	// says why not.
	Image []Segment
	// ImageKept says why active data segments were left in the module although [Options.ExtractData] was set; empty if
	// they were not.
	ImageKept string
	// Instance is what the runtime makes for each instance of the rewritten module.
	Instance Contents
	// HasStart says that the module has a start function.
	HasStart bool
	// StartExport is the name of the exported start function, if there is one and [Options.ExportStart] was set.
	// The host must call it once, before any other function.
	StartExport string
	// ParkExport is the name of the exported function that starts the program or resumes it; see [Options.Park]. Empty if
	// the program cannot be resumed.
	ParkExport string
	// NeedsFreshInstance says, one reason an entry, why an instance cannot be reset by restoring memory and Globals.
	// Empty if it can; at most 100.
	NeedsFreshInstance []string
	// FunctionImports are the functions that the module imported before the rewrite.
	FunctionImports []FunctionImport
	// Exports are the exports that the module had before the rewrite, with the indices of that time.
	Exports []wasm.Export
	// FunctionExports are the types of the functions among Exports, by name.
	FunctionExports map[string]wasm.FuncType
	// Charges is the number of places at which the code pays fuel.
	Charges int
	// Weigh counts what compiling Module costs, with function indices as they were before the rewrite. It takes half as
	// long as the rewrite. Whoever keeps it keeps the module that was taken apart.
	Weigh func() (*weight.Weight, error)
}

// Global is an exported mutable global.
type Global struct {
	// Index is the index of the global in the module.
	Index uint32
	// Type is [wasm.I32], [wasm.I64], [wasm.F32] or [wasm.F64].
	Type byte
	// Export is the reserved name of its export.
	Export string
}

// Memory describes the memory of a module before the rewrite.
type Memory struct {
	// Present says that there is one. All other fields are zero if not.
	Present bool
	// ImportModule and ImportName say where an imported memory comes from, or came from before it was adopted.
	Imported                 bool
	ImportModule, ImportName string
	// MinPages is the initial size, in pages of 64 KiB.
	MinPages uint32
	// OriginalMax is the maximum that the module declared, if HasMax is set.
	OriginalMax uint32
	HasMax      bool
}

// Contents counts what every instance of a module has of its own, beside memory.
type Contents struct {
	// Globals is how many globals there are, with those that the rewrite adds.
	Globals int
	// TableEntries is how many entries all tables start with together.
	TableEntries uint64
	// ElementEntries is how many entries all element segments have together.
	ElementEntries uint64
	// Segments is how many element and data segments there are.
	Segments int
	// DataBytes is how many bytes the active data segments have that were not taken out.
	DataBytes uint64
}

// Segment is a piece of the initial memory.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

// FunctionImport is an imported function.
type FunctionImport struct {
	Module, Name    string
	Params, Results []wasm.ValueType
}
