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

// Options controls a rewrite. There are no defaults: [Module] refuses options with a missing name
// or limit.
type Options struct {
	// TickModule and TickName name the imported function that metered code calls when it is out of
	// fuel. It has no parameters and no results. Modules that import anything else from TickModule
	// are refused.
	TickModule, TickName string
	// ExportPrefix starts the names of all exports that the rewrite adds. Modules that export such
	// a name themselves are refused.
	ExportPrefix string
	// MemoryMaxPages becomes the declared maximum of the memory, own or imported, in pages of 64
	// KiB: 1 to [wasm.MaxMemoryPages]. Modules with a larger minimum are refused. If the module
	// declares a smaller maximum, that is raised, too, and reported as [Memory.OriginalMax]; the
	// host's allocator enforces it.
	MemoryMaxPages uint32
	// AdoptMemory makes an imported memory the module's own. It is for hosts that make a separate
	// memory for every instance of the module.
	AdoptMemory bool
	// TableMaxEntries bounds the sum of the declared maximums of all tables: 1 to
	// [wasm.MaxTableSize]. Modules whose minimums exceed it are refused.
	TableMaxEntries uint32
	// ExtractData removes active data segments from the module and reports them as [Result.Image].
	// Whoever makes the memory, own or imported, must write them there before any function runs.
	ExtractData bool
	// ExportStart turns the start function into an export, so that the host decides when to call
	// it.
	ExportStart bool
	// LowerReferences removes typed function references from the module, for engines that do not
	// support them. The rewrite then does not check that they are used as their types demand: the
	// resulting module does not depend on it.
	LowerReferences bool
	// ReplaceMiscompiled replaces the instructions that wazero 1.12 miscompiles for arm64: integer
	// remainders, i64x2.bitmask, and i32.and and i64.and where their results are compared. The
	// module's results and the fuel that it burns stay the same.
	ReplaceMiscompiled bool
	// Park prepares a program so that it can be stopped where it reads, if possible. Nil does
	// nothing.
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
		return fmt.Errorf("rewrite options: memory limit is %d pages, expected 1 to %d",
			o.MemoryMaxPages, wasm.MaxMemoryPages)
	case o.TableMaxEntries == 0 || o.TableMaxEntries > wasm.MaxTableSize:
		return fmt.Errorf("rewrite options: table limit is %d entries, expected 1 to %d",
			o.TableMaxEntries, wasm.MaxTableSize)
	}
	return nil
}

// checkReserved refuses modules that use a name reserved for the rewrite.
func (o *Options) checkReserved(m *wasm.Module) error {
	for i := range m.Imports {
		if m.Imports[i].Module == o.TickModule {
			return fmt.Errorf("module imports %q from the reserved module %q", m.Imports[i].Name,
				o.TickModule)
		}
	}
	for i := range m.Exports {
		if strings.HasPrefix(m.Exports[i].Name, o.ExportPrefix) {
			return fmt.Errorf("module exports %q: names that start with %q are reserved",
				m.Exports[i].Name, o.ExportPrefix)
		}
	}
	return nil
}

// Result is a rewritten module, with what the host must know about it.
type Result struct {
	// Module is the rewritten module in the binary format.
	Module []byte
	// FuelExport is the name of the exported mutable i64 global that holds the fuel. It starts at
	// zero, so that a host which forgets to fill it gets a tick immediately. The host may set it to
	// any value from 0 to 1<<62.
	FuelExport string
	// StackExport is the name of the exported mutable i64 global that holds the estimated remaining
	// bytes of stack. It starts at [MaxStackBytes]; the host may set it to less. When it is
	// negative, the code calls the tick, and the host must then end the call. After a call that
	// ended this way, or by a trap, the host must set it again.
	StackExport string
	// Globals are the module's mutable globals, which the host can save and restore.
	Globals []Global
	// Memory describes the original module's memory.
	Memory Memory
	// Image is the content of the extracted data segments, in the order in which the host must
	// write them: later segments may overwrite earlier ones. It aliases the input. It is nil if
	// there was nothing to extract, or if ImageKept is set.
	Image []Segment
	// ImageKept says why active data segments were left in the module despite
	// [Options.ExtractData]. It is empty if none were.
	ImageKept string
	// Instance counts what the runtime makes for each instance of the rewritten module.
	Instance Contents
	// HasStart is set if the module has a start function.
	HasStart bool
	// StartExport is the name of the exported start function, if there is one and
	// [Options.ExportStart] was set. The host must call it once, before any other function.
	StartExport string
	// ParkExport is the name of the exported function that starts or resumes the program; see
	// [Options.Park]. It is empty if the program cannot be resumed.
	ParkExport string
	// NeedsFreshInstance lists the reasons why restoring memory and Globals does not reset an
	// instance, at most 100. It is empty if an instance can be reset.
	NeedsFreshInstance []string
	// FunctionImports are the functions that the original module imports.
	FunctionImports []FunctionImport
	// Exports are the exports of the original module, with their original indices.
	Exports []wasm.Export
	// FunctionExports are the types of the functions among Exports, by name.
	FunctionExports map[string]wasm.FuncType
	// Charges is the number of places where the code pays fuel.
	Charges int
	// Weigh counts what Module costs to compile, with the original function indices. It takes half
	// as long as the rewrite. Keeping it keeps the decoded module in memory.
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
	// Present is set if the module has a memory. All other fields are zero otherwise.
	Present bool
	// ImportModule and ImportName are the names by which the module imports its memory, or imported
	// it before the memory was adopted.
	Imported                 bool
	ImportModule, ImportName string
	// MinPages is the initial size, in pages of 64 KiB.
	MinPages uint32
	// OriginalMax is the maximum that the module declared, if HasMax is set.
	OriginalMax uint32
	HasMax      bool
}

// Contents counts what each instance of a module has apart from memory.
type Contents struct {
	// Globals is the number of globals, including those that the rewrite adds.
	Globals int
	// TableEntries is the total number of entries with which all tables start.
	TableEntries uint64
	// ElementEntries is the total number of entries in all element segments.
	ElementEntries uint64
	// Segments is the number of element and data segments.
	Segments int
	// DataBytes is the number of bytes in active data segments that were not extracted.
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
