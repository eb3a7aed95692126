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

package weight

import "github.com/wasm-admission/wasm-admission/internal/wasm"

// dimensionID identifies a dimension in which modules are weighed.
type dimensionID int

const (
	functionBlocks dimensionID = iota
	functionLoops
	functionNesting
	functionNestedLocals
	functionBytes
	functions
	types
	imports
	exports
	globals
	tables
	locals
	dataSegments
	elementSegments
	elementEntries
	customSections
	moduleTime
	moduleMemory
	dimensionCount
)

// dimension describes what is counted and where its bound is.
type dimension struct {
	name, remedy string
	// field returns the dimension's bound.
	field      func(*Bounds) *int64
	ofFunction bool
}

const (
	splitFunction = "split the function, or have its compiler inline less"
	fewer         = "generate less code, or split the policy"
)

// dimensions are in the order in which they are checked.
var dimensions = [dimensionCount]dimension{
	functionBlocks: {"basic blocks", splitFunction, func(b *Bounds) *int64 {
		return &b.FunctionBlocks
	}, true},
	functionLoops: {"loops", splitFunction, func(b *Bounds) *int64 {
		return &b.FunctionLoops
	}, true},
	functionNesting: {"levels of nested blocks", splitFunction, func(b *Bounds) *int64 {
		return &b.FunctionNesting
	}, true},
	functionNestedLocals: {"levels of nested blocks times locals", splitFunction,
		func(b *Bounds) *int64 { return &b.FunctionNestedLocals }, true},
	functionBytes: {"bytes of body", splitFunction, func(b *Bounds) *int64 {
		return &b.FunctionBytes
	}, true},
	functions: {"functions", fewer, func(b *Bounds) *int64 { return &b.Functions },
		false},
	types:   {"types", fewer, func(b *Bounds) *int64 { return &b.Types }, false},
	imports: {"imports", fewer, func(b *Bounds) *int64 { return &b.Imports }, false},
	exports: {"exports", "export less; each mutable global counts as one, too",
		func(b *Bounds) *int64 { return &b.Exports }, false},
	globals: {"globals", fewer, func(b *Bounds) *int64 { return &b.Globals }, false},
	tables:  {"tables", fewer, func(b *Bounds) *int64 { return &b.Tables }, false},
	locals: {"locals in all functions", fewer, func(b *Bounds) *int64 {
		return &b.Locals
	}, false},
	dataSegments: {"data segments", "have the linker merge them", func(b *Bounds) *int64 {
		return &b.DataSegments
	}, false},
	elementSegments: {"element segments", "have the linker merge them",
		func(b *Bounds) *int64 { return &b.ElementSegments }, false},
	elementEntries: {"references in element segments", fewer, func(b *Bounds) *int64 {
		return &b.ElementEntries
	}, false},
	customSections: {"custom sections", "strip the module, as with wasm-tools strip",
		func(b *Bounds) *int64 { return &b.CustomSections }, false},
	moduleTime: {"ms of processor time by estimate, most of them",
		splitFunction + "; many values that live across many blocks are what costs most",
		func(b *Bounds) *int64 { return (*int64)(&b.Time) }, true},
	moduleMemory: {"bytes of memory by estimate, most of them",
		splitFunction + "; many values that live across many blocks are what costs most",
		func(b *Bounds) *int64 { return &b.Memory }, true},
}

// ofModule counts the items of the module.
func (w *Weight) ofModule(m *wasm.Module) {
	entries := 0
	for i := range m.Elements {
		entries += len(m.Elements[i].Functions) + len(m.Elements[i].Exprs)
	}
	for d, n := range map[dimensionID]int{
		functions: len(m.Bodies), types: len(m.Types), imports: len(m.Imports),
		exports: len(m.Exports), globals: len(m.Globals),
		tables: len(m.Tables), dataSegments: len(m.Data), elementSegments: len(m.Elements),
		elementEntries: entries,
		customSections: len(m.Custom),
	} {
		w.values[d] = int64(n)
	}
}

// ofFunction counts the items of a function.
func (w *Weight) ofFunction(i int, f *function) {
	w.values[locals] += int64(f.locals)
	w.most(functionBlocks, int64(f.blocks), i)
	w.most(functionLoops, int64(f.loops), i)
	w.most(functionNesting, int64(f.nesting), i)
	w.most(functionNestedLocals, int64(f.nesting)*int64(f.locals), i)
	w.most(functionBytes, int64(f.bytes), i)
}
