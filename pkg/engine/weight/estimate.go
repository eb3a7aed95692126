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

import (
	"math"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// function holds the counts of one function.
type function struct {
	// blocks is an upper bound on basic blocks. bytes is the size of the body. locals includes
	// parameters.
	blocks, loops, nesting, bytes, locals int
	// loopNesting is the nesting depth of loops. values is the number of values that branches,
	// blocks, and calls take along.
	loopNesting, values, calls, hostCalls int
	// accesses are loads and stores. bulk are bulk operations on memories and tables.
	accesses, bulk int
	// dominators is the number of steps from every block and branch up to the function's beginning.
	// find is the number of steps to find the values of locals and globals. live is the sum of live
	// values over all blocks. moves is that sum over all branches, and phis the sum of their
	// squares.
	dominators, find, live, moves, phis float64
	// known is the sum of known accesses over all blocks and branches.
	known float64
	// targetsSquared is the sum of the squared target counts of branch tables.
	targetsSquared float64
}

// facts are the properties of a module that affect the cost of every function.
type facts struct {
	functions, types, signatures, imports, globals, mutable float64
	bytes                                                   float64
	entries                                                 float64
}

func factsOf(m *wasm.Module, size int) facts {
	f := facts{
		functions: float64(len(m.Bodies)), types: float64(len(m.Types)),
		imports: float64(len(m.Imports)),
		globals: float64(m.ImportedCount(wasm.ExternGlobal) + len(m.Globals)), bytes: float64(size),
	}
	for i := range m.Types {
		f.signatures += float64(len(m.Types[i].Params) + len(m.Types[i].Results))
	}
	for _, t := range m.GlobalTypes() {
		if t.Mutable {
			f.mutable++
		}
	}
	for i := range m.Elements {
		f.entries += float64(len(m.Elements[i].Functions) + len(m.Elements[i].Exprs))
	}
	return f
}

// The costs in nanoseconds and in bytes. They are fitted to series of modules that each have many
// of one item, on a server processor, and rounded up.
const (
	nsPerByte, nsPerFunction, nsPerBlock, nsPerValue, nsPerLocal = 250, 5_000, 10_000, 300, 25
	nsPerDominator, nsPerStep, nsPerLive, nsPerMove, nsPerPhi    = 6, 60, 60, 300, 1
	nsPerReload, nsPerDeclared, nsPerType, nsPerSignature        = 300, 20, 20_000, 500
	nsPerFunctionAndType, nsPerImportSearched, nsPerEntry        = 25, 5, 100
	nsPerAccess, nsPerBulk, nsPerKnown, nsPerTargetSquared       = 5_000, 150_000, 25, 0.5
	// nsPerPeakByte is for the memory of the function that needs the most. That memory is freshly
	// allocated, and the compiler reuses it for the other functions.
	nsPerPeakByte = 2.5

	keptPerByte, keptPerMove, keptPerValue, keptPerLocal   = 10, 24, 16, 8
	keptPerFunction, keptPerType, keptPerEntry             = 300, 2_000, 100
	keptPerSignature                                       = 200
	peakPerByte, peakPerBlock, peakPerValue, peakPerLive   = 60, 2_600, 250, 40
	peakPerMove, peakPerReload, peakPerAccess, peakPerBulk = 150, 250, 6_500, 50_000
	peakPerKnown                                           = 24
)

// estimate is an estimate of the time in nanoseconds, of the bytes that stay allocated until the
// module is compiled, and of the bytes that a single function needs.
type estimate struct{ time, kept, peak float64 }

// module estimates the cost apart from the functions.
func (f *facts) module() estimate {
	return estimate{
		time: f.types*nsPerType + f.signatures*nsPerSignature + f.entries*nsPerEntry +
			f.functions*(f.types*nsPerFunctionAndType+f.globals*nsPerDeclared+
				f.imports*nsPerImportSearched+nsPerFunction),
		kept: f.bytes*2 + f.functions*keptPerFunction + f.types*keptPerType +
			f.entries*keptPerEntry + f.signatures*keptPerSignature,
	}
}

// function estimates the cost of a function.
func (f *facts) function(c *function) estimate {
	reloads := float64(c.calls) * f.mutable
	values, bytes, blocks := float64(c.values), float64(c.bytes), float64(c.blocks)
	return estimate{
		time: bytes*nsPerByte + blocks*nsPerBlock + values*nsPerValue +
			float64(c.locals)*nsPerLocal +
			c.dominators*nsPerDominator + c.find*nsPerStep + c.live*nsPerLive + c.moves*nsPerMove +
			c.phis*nsPerPhi*float64(1+c.loopNesting) + reloads*nsPerReload +
			float64(c.accesses)*nsPerAccess + float64(c.bulk)*nsPerBulk + c.known*nsPerKnown +
			c.targetsSquared*nsPerTargetSquared +
			float64(c.hostCalls)*f.imports*nsPerImportSearched,
		kept: bytes*keptPerByte + c.moves*keptPerMove + values*keptPerValue +
			float64(c.locals)*keptPerLocal,
		peak: bytes*peakPerByte + blocks*peakPerBlock + values*peakPerValue + c.live*peakPerLive +
			c.moves*peakPerMove + reloads*peakPerReload +
			float64(c.accesses)*peakPerAccess + float64(c.bulk)*peakPerBulk + c.known*peakPerKnown,
	}
}

// saturated converts an estimate to an integer.
func saturated(estimate float64) int64 {
	if estimate >= math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return int64(estimate)
}
