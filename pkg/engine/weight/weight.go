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

// Package weight counts what compiling a module costs, before it is compiled.
//
// The compiler of wazero 1.12 takes time and memory that grow faster than a module does: with the product of a
// function's blocks and the values that live across them, of blocks and how deep they lie, of functions and types, and
// of others. It walks over blocks by recursion, too, and a stack that overflows ends the process. So a module is
// weighed first, by one walk over its code that takes time and memory in proportion to it, and refused if it is too
// heavy. What is weighed is the module that the compiler gets, with all that a rewrite has added.
//
// The estimates of time and memory are upper bounds for what can be built to be slow, not forecasts for what
// compilers put out: that takes less, down to a third of its estimate.
package weight

import (
	"fmt"
	"time"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// Version changes when what is counted or estimated does. It stands in the keys of compiled code, which was compiled
// from a module that had been weighed so.
const Version = 1

// Bounds are the most that a module may weigh. A zero field takes the value of [DefaultBounds].
type Bounds struct {
	// FunctionBlocks is the number of basic blocks of one function.
	FunctionBlocks int64
	// FunctionLoops is the number of loops of one function.
	FunctionLoops int64
	// FunctionNesting is how deep blocks of one function are nested.
	FunctionNesting int64
	// FunctionNestedLocals is the nesting of one function times its locals, parameters included.
	FunctionNestedLocals int64
	// FunctionBytes is the size of one function's body in bytes.
	FunctionBytes int64

	// Functions, Types, Imports, Exports, Globals and Tables are numbers of such; functions, globals and tables are those that
	// the module defines.
	Functions, Types, Imports, Exports, Globals, Tables int64
	// Locals is the number of locals of all functions together.
	Locals int64
	// DataSegments, ElementSegments and CustomSections are numbers of such, and ElementEntries is the number of references
	// in all element segments.
	DataSegments, ElementSegments, ElementEntries, CustomSections int64

	// Time is the estimated time of one processor. A module may have less if it is small: 50 ms and 5 ms for each KiB.
	Time time.Duration
	// Memory is the estimated memory in bytes, besides what a process with the compiler takes anyway. A module may have less
	// if it is small: 64 MiB and 40 bytes for each byte.
	Memory int64
}

// DefaultBounds leave room for the largest modules that are known. A program in Go of 72 MB is at less than a quarter of
// each count, at a third of the time and at 0.7 of the memory; some committed guests are at half of the time and 0.8 of the memory.
var DefaultBounds = Bounds{
	FunctionBlocks:       1 << 18,
	FunctionLoops:        1 << 10,
	FunctionNesting:      1 << 15,
	FunctionNestedLocals: 1 << 19,
	FunctionBytes:        3 << 20,
	Functions:            1 << 18,
	Types:                1 << 13,
	Imports:              1 << 12,
	Exports:              1 << 14,
	Globals:              1 << 12,
	Tables:               1 << 10,
	Locals:               1 << 21,
	DataSegments:         1 << 19,
	ElementSegments:      1 << 14,
	ElementEntries:       1 << 20,
	CustomSections:       1 << 10,
	Time:                 5 * time.Minute,
	Memory:               4 << 30,
}

// What a module of any size may take.
const (
	timeAtLeast      = 50 * time.Millisecond
	timePerKiB       = 5 * time.Millisecond
	memoryAtLeast    = 64 << 20
	memoryPerByte    = 40
	nanosecondsPerMs = 1_000_000
)

// Validate says which bound is no bound.
func (b Bounds) Validate() error {
	for i := range dimensions {
		if d := &dimensions[i]; *d.field(&b) < 0 {
			return fmt.Errorf("bound on %s is %d: must be positive", d.name, *d.field(&b))
		}
	}
	return nil
}

// WithDefaults returns the bounds with those of [DefaultBounds] where there is none.
func (b Bounds) WithDefaults() Bounds {
	for i := range dimensions {
		field := dimensions[i].field
		if *field(&b) == 0 {
			*field(&b) = *field(&DefaultBounds)
		}
	}
	return b
}

// Count is what was counted in one dimension.
type Count struct {
	// Name says what is counted, in the plural and with its unit.
	Name string `json:"name"`
	// Value was counted, Bound is allowed.
	Value int64 `json:"value"`
	Bound int64 `json:"bound"`
	// Function is the function that has so much, and FunctionName its name if the name section has it. Function is nil if it
	// is the module that has.
	Function     *uint32 `json:"function,omitempty"`
	FunctionName string  `json:"functionName,omitempty"`
	// Remedy says what its author can do about it.
	Remedy string `json:"-"`
}

// Error is the error for a count above its bound.
type Error struct{ Count }

// Error implements error.
func (e *Error) Error() string {
	where := ""
	if who := e.Who(); who != "" {
		where = " in " + who
	}
	return fmt.Sprintf("module is too costly to compile: it has %d %s%s, at most %d are allowed: %s", e.Value, e.Name, where, e.Bound, e.Remedy)
}

// Who names the function, as function 7 ("main.main"), or is empty. The name is as the module has it.
func (c *Count) Who() string {
	switch {
	case c.Function == nil:
		return ""
	case c.FunctionName == "":
		return fmt.Sprintf("function %d", *c.Function)
	}
	return fmt.Sprintf("function %d (%q)", *c.Function, c.FunctionName)
}

// Weight is what a module weighs. It is not changed once it is made.
type Weight struct {
	bytes  int64
	values [dimensionCount]int64
	// worst are the functions that have most, as indices into the module's own; first is the index of the first of those
	// in the module as it was before it was rewritten.
	worst [dimensionCount]int
	first int
	names map[uint32]string
}

// Of weighs a module in time and memory proportional to it. Size is how many bytes it had before it was rewritten, and
// inserted how many imported functions were put behind its own: they do not count in the indices of functions that are
// reported. Errors are those of a [wasm.Cursor].
func Of(m *wasm.Module, size, inserted int) (*Weight, error) {
	imported := m.ImportedCount(wasm.ExternFunction)
	w := &Weight{bytes: int64(size), first: imported - inserted}
	w.ofModule(m)
	k := &walker{module: m, cursor: m.Cursor(), types: m.FunctionTypes(), imports: imported}
	facts := factsOf(m, size)
	all := facts.module()
	slowest, largest := 0.0, 0.0
	for i := range m.Bodies {
		if err := k.weigh(i); err != nil {
			return nil, fmt.Errorf("function %d: %w", w.first+i, err)
		}
		w.ofFunction(i, &k.f)
		e := facts.function(&k.f)
		all.time += e.time
		all.kept += e.kept
		all.peak = max(all.peak, e.peak)
		if e.time > slowest {
			slowest, w.worst[moduleTime] = e.time, i
		}
		if e.peak > largest {
			largest, w.worst[moduleMemory] = e.peak, i
		}
	}
	all.time += all.peak * nsPerPeakByte
	w.values[moduleTime] = saturated(all.time / nanosecondsPerMs)
	w.values[moduleMemory] = saturated(all.kept + all.peak)
	w.name(m, inserted)
	return w, nil
}

// name looks up the names of the functions that have most.
func (w *Weight) name(m *wasm.Module, inserted int) {
	wanted := map[uint32]bool{}
	for _, i := range w.worst {
		wanted[uint32(w.first+inserted+i)] = true
	}
	w.names = map[uint32]string{}
	for i := range m.Custom {
		if m.Custom[i].Name == wasm.NameSection {
			for index, name := range wasm.FunctionNames(m.Custom[i].Payload, wanted) {
				w.names[index-uint32(inserted)] = name
			}
		}
	}
}

func (w *Weight) most(d dimensionID, value int64, function int) {
	if value > w.values[d] {
		w.values[d], w.worst[d] = value, function
	}
}

// Counts returns what was counted, with the bounds.
func (w *Weight) Counts(b Bounds) []Count {
	counts := make([]Count, 0, len(dimensions))
	for i := range dimensions {
		d := &dimensions[i]
		c := Count{Name: d.name, Value: w.values[i], Bound: w.bound(dimensionID(i), *d.field(&b)), Remedy: d.remedy}
		if d.ofFunction {
			index := uint32(w.first + w.worst[i])
			c.Function, c.FunctionName = &index, w.names[index]
		}
		counts = append(counts, c)
	}
	return counts
}

// bound is a bound for a module of this size.
func (w *Weight) bound(d dimensionID, bound int64) int64 {
	switch d {
	case moduleTime:
		return min(bound, int64(timeAtLeast)+w.bytes*int64(timePerKiB)/1024) / nanosecondsPerMs
	case moduleMemory:
		return min(bound, memoryAtLeast+memoryPerByte*w.bytes)
	}
	return bound
}

// Check returns an [*Error] for the first count above its bound, or nil.
func (w *Weight) Check(b Bounds) error {
	for _, c := range w.Counts(b) {
		if c.Value > c.Bound {
			return &Error{Count: c}
		}
	}
	return nil
}
