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

// function is what is counted of one function.
type function struct {
	// blocks are basic blocks, at most; bytes is the size of the body, and locals counts parameters, too.
	blocks, loops, nesting, bytes, locals int
	// loopNesting is how deep loops are nested, values how many values branches, blocks and calls take along.
	loopNesting, values, calls, hostCalls int
	// accesses are loads and stores, and bulk operations on memories and tables.
	accesses, bulk int
	// dominators are the steps from every block and branch up to the beginning; find the steps in search of a local's or
	// a global's value; live sums up what lives at each block; moves sums up what lives at each branch, and phis its square.
	dominators, find, live, moves, phis float64
	// known sums up what is known of accesses at each block and branch.
	known float64
	// targetsSquared sums up the squares of the numbers of targets of tables of branches.
	targetsSquared float64
}

// facts are what the cost of every function depends on.
type facts struct {
	functions, types, signatures, imports, globals, mutable float64
	bytes                                                   float64
	entries                                                 float64
}

func factsOf(m *wasm.Module, size int) facts {
	f := facts{
		functions: float64(len(m.Bodies)), types: float64(len(m.Types)), imports: float64(len(m.Imports)),
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

// The time that things take, in nanoseconds, and the memory, in bytes. They are fitted to series of modules that have
// much of one thing, on a processor of the kind that servers have, and rounded up.
const (
	nsPerByte, nsPerFunction, nsPerBlock, nsPerValue, nsPerLocal = 250, 5_000, 10_000, 300, 25
	nsPerDominator, nsPerStep, nsPerLive, nsPerMove, nsPerPhi    = 6, 60, 60, 300, 1
	nsPerReload, nsPerDeclared, nsPerType, nsPerSignature        = 300, 20, 20_000, 500
	nsPerFunctionAndType, nsPerImportSearched, nsPerEntry        = 25, 5, 100
	nsPerAccess, nsPerBulk, nsPerKnown, nsPerTargetSquared       = 5_000, 150_000, 25, 0.5
	// nsPerPeakByte is for the memory of the function that needs most: it is new, that of the others is used again.
	nsPerPeakByte = 2.5

	keptPerByte, keptPerMove, keptPerValue, keptPerLocal   = 10, 24, 16, 8
	keptPerFunction, keptPerType, keptPerEntry             = 300, 2_000, 100
	keptPerSignature                                       = 200
	peakPerByte, peakPerBlock, peakPerValue, peakPerLive   = 60, 2_600, 250, 40
	peakPerMove, peakPerReload, peakPerAccess, peakPerBulk = 150, 250, 6_500, 50_000
	peakPerKnown                                           = 24
)

// estimate is an estimate of time in nanoseconds, of the bytes that stay until the module is compiled, and of those that
// are needed for one function at a time.
type estimate struct{ time, kept, peak float64 }

// module estimates what there is to do besides the functions.
func (f *facts) module() estimate {
	return estimate{
		time: f.types*nsPerType + f.signatures*nsPerSignature + f.entries*nsPerEntry +
			f.functions*(f.types*nsPerFunctionAndType+f.globals*nsPerDeclared+f.imports*nsPerImportSearched+nsPerFunction),
		kept: f.bytes*2 + f.functions*keptPerFunction + f.types*keptPerType + f.entries*keptPerEntry + f.signatures*keptPerSignature,
	}
}

// function estimates what a function takes.
func (f *facts) function(c *function) estimate {
	reloads := float64(c.calls) * f.mutable
	values, bytes, blocks := float64(c.values), float64(c.bytes), float64(c.blocks)
	return estimate{
		time: bytes*nsPerByte + blocks*nsPerBlock + values*nsPerValue + float64(c.locals)*nsPerLocal +
			c.dominators*nsPerDominator + c.find*nsPerStep + c.live*nsPerLive + c.moves*nsPerMove +
			c.phis*nsPerPhi*float64(1+c.loopNesting) + reloads*nsPerReload + float64(c.accesses)*nsPerAccess + float64(c.bulk)*nsPerBulk + c.known*nsPerKnown +
			c.targetsSquared*nsPerTargetSquared + float64(c.hostCalls)*f.imports*nsPerImportSearched,
		kept: bytes*keptPerByte + c.moves*keptPerMove + values*keptPerValue + float64(c.locals)*keptPerLocal,
		peak: bytes*peakPerByte + blocks*peakPerBlock + values*peakPerValue + c.live*peakPerLive + c.moves*peakPerMove + reloads*peakPerReload +
			float64(c.accesses)*peakPerAccess + float64(c.bulk)*peakPerBulk + c.known*peakPerKnown,
	}
}

// saturated is an estimate as an integer.
func saturated(estimate float64) int64 {
	if estimate >= math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return int64(estimate)
}
