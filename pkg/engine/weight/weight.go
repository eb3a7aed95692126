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

// Package weight counts what a module costs to compile, before it is compiled.
//
// The compiler of wazero 1.12 takes time and memory that grow faster than a module's size: for
// example with the product of a function's blocks and the values that live across them, of blocks
// and their nesting depth, or of functions and types. It also walks blocks recursively, and a stack
// overflow ends the process. The engine therefore weighs a module first, in a single walk over its
// code that takes time and memory proportional to the module's size, and rejects modules that are
// too heavy. It weighs the module that the compiler gets, including everything that a rewrite
// added.
//
// The estimates of time and memory are upper bounds for modules that are built to be slow. They do
// not forecast the cost of ordinary compiler output, which can be as low as a third of the
// estimate.
package weight

import (
	"fmt"
	"time"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// Version changes when the counts or estimates change. It is part of the keys of compiled code,
// because that code's module passed the bounds of this version.
const Version = 1

// Bounds are the maximum weights of a module. A zero field takes the value from [DefaultBounds].
type Bounds struct {
	// FunctionBlocks is the number of basic blocks in one function.
	FunctionBlocks int64
	// FunctionLoops is the number of loops in one function.
	FunctionLoops int64
	// FunctionNesting is the nesting depth of blocks in one function.
	FunctionNesting int64
	// FunctionNestedLocals is one function's nesting depth times its number of locals and
	// parameters.
	FunctionNestedLocals int64
	// FunctionBytes is the size of one function's body in bytes.
	FunctionBytes int64

	// Functions, Types, Imports, Exports, Globals, and Tables are the numbers of these items. For
	// functions, globals, and tables, imported ones do not count.
	Functions, Types, Imports, Exports, Globals, Tables int64
	// Locals is the total number of locals in all functions.
	Locals int64
	// DataSegments, ElementSegments, and CustomSections are the numbers of these items.
	// ElementEntries is the total number of references in all element segments.
	DataSegments, ElementSegments, ElementEntries, CustomSections int64

	// Time is the estimated time on one processor. The limit for a small module is lower: 50 ms
	// plus 5 ms for each KiB.
	Time time.Duration
	// Memory is the estimated memory in bytes, on top of what a process with the compiler takes
	// anyway. The limit for a small module is lower: 64 MiB plus 40 bytes for each byte.
	Memory int64
}

// DefaultBounds leave room for the largest known modules. A 72 MB Go program reaches less than a
// quarter of each count, a third of the time, and 0.7 of the memory. Some guests in this repository
// reach half of the time and 0.8 of the memory.
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

// The time and memory that a module gets for its size, up to the bounds.
const (
	timeAtLeast      = 50 * time.Millisecond
	timePerKiB       = 5 * time.Millisecond
	memoryAtLeast    = 64 << 20
	memoryPerByte    = 40
	nanosecondsPerMs = 1_000_000
)

// Validate returns an error for the first negative bound.
func (b Bounds) Validate() error {
	for i := range dimensions {
		if d := &dimensions[i]; *d.field(&b) < 0 {
			return fmt.Errorf("bound on %s is %d: must be positive, or 0 for the default",
				d.name, *d.field(&b))
		}
	}
	return nil
}

// WithDefaults returns the bounds, with zero fields replaced from [DefaultBounds].
func (b Bounds) WithDefaults() Bounds {
	for i := range dimensions {
		field := dimensions[i].field
		if *field(&b) == 0 {
			*field(&b) = *field(&DefaultBounds)
		}
	}
	return b
}

// Count is the result for one dimension.
type Count struct {
	// Name says what is counted, in the plural and with its unit.
	Name string `json:"name"`
	// Value is the count, Bound the maximum.
	Value int64 `json:"value"`
	Bound int64 `json:"bound"`
	// Function is the index of the function with the highest count, and FunctionName its name from
	// the name section, if any. Function is nil if the count is for the whole module.
	Function     *uint32 `json:"function,omitempty"`
	FunctionName string  `json:"functionName,omitempty"`
	// Remedy says what the module's author can do about it.
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
	return fmt.Sprintf(
		"module is too costly to compile: it has %d %s%s, at most %d are allowed: %s", e.Value,
		e.Name, where, e.Bound, e.Remedy)
}

// Who returns text that identifies the function, such as function 7 ("main.main"), or "" if the
// count is for the whole module. The name comes from the module.
func (c *Count) Who() string {
	switch {
	case c.Function == nil:
		return ""
	case c.FunctionName == "":
		return fmt.Sprintf("function %d", *c.Function)
	}
	return fmt.Sprintf("function %d (%q)", *c.Function, c.FunctionName)
}

// Weight is the weight of a module. It is immutable.
type Weight struct {
	bytes  int64
	values [dimensionCount]int64
	// worst holds, for each dimension, the function with the highest count, as an index into the
	// functions that the module defines. first is the index of the first of those in the original
	// module, before the rewrite.
	worst [dimensionCount]int
	first int
	names map[uint32]string
}

// Of weighs a module, in time and memory proportional to the module's size. size is its number of
// bytes before the rewrite. inserted is the number of function imports that the rewrite appended;
// reported function indices do not count them. Errors come from [wasm.Cursor].
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

// name looks up the names of the functions with the highest counts.
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

// most records the count of a function if it is the highest so far.
func (w *Weight) most(d dimensionID, value int64, function int) {
	if value > w.values[d] {
		w.values[d], w.worst[d] = value, function
	}
}

// Counts returns the count of each dimension with its bound.
func (w *Weight) Counts(b Bounds) []Count {
	counts := make([]Count, 0, len(dimensions))
	for i := range dimensions {
		d := &dimensions[i]
		c := Count{
			Name:   d.name,
			Value:  w.values[i],
			Bound:  w.bound(dimensionID(i), *d.field(&b)),
			Remedy: d.remedy,
		}
		if d.ofFunction {
			index := uint32(w.first + w.worst[i])
			c.Function, c.FunctionName = &index, w.names[index]
		}
		counts = append(counts, c)
	}
	return counts
}

// bound adjusts a bound to the module's size.
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
