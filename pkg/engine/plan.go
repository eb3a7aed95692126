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
	"fmt"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/rewrite"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// The rewrite adds its items to a module under these names. No guest may use them itself.
const (
	tickModule   = "wasm-admission"
	tickName     = "tick"
	exportPrefix = "wasm-admission."
)

// plan describes how the engine rewrites a module before it compiles it, and the module's limits.
type plan struct {
	// abi is nil if the caller does not know which ABI the module follows.
	abi         *ABI
	limits      Limits
	interpreter bool
	miscompiles bool
}

func (m *Module) plan() *plan {
	return &plan{
		abi:         m.abi,
		limits:      m.limits,
		interpreter: m.engine.interpreter,
		miscompiles: m.engine.faults.miscompiles,
	}
}

// checkModule bounds the size of a module before anything reads it.
func (l *Limits) checkModule(binary []byte) error {
	if size := int64(len(binary)); size > l.ModuleBytes {
		return &LimitError{
			Limit:   "bytes of module",
			Value:   size,
			Max:     l.ModuleBytes,
			Setting: "limits.moduleSize",
		}
	}
	return nil
}

// rewrite returns the module that the compiler gets. It refuses modules of which the engine could
// not make an instance.
func (p *plan) rewrite(binary []byte) (*rewrite.Result, error) {
	r, err := rewrite.Module(binary, rewrite.Options{
		TickModule:   tickModule,
		TickName:     tickName,
		ExportPrefix: exportPrefix,
		// Raise the declared maximum as far as possible, and at least a page above what the memory
		// can reach. The instance's memory enforces the limit, and needs that page to shrink (see
		// [memory.Range.Bind]).
		MemoryMaxPages:  wasm.MaxMemoryPages,
		AdoptMemory:     true,
		TableMaxEntries: p.limits.TableEntries,
		ExtractData:     true,
		ExportStart:     true,
		LowerReferences: true,
		// Interpreted or not: there is one rewritten module for each processor.
		ReplaceMiscompiled: p.miscompiles,
		Park:               p.park(),
	})
	if err != nil {
		return nil, err
	}
	// Metering makes code grow, and hostile code can be built to grow the most.
	if size, most := int64(len(r.Module)), 2*p.limits.ModuleBytes; size > most {
		return nil, &LimitError{
			Limit:   "bytes of metered module",
			Value:   size,
			Max:     most,
			Setting: "limits.moduleSize",
		}
	}
	if err := p.checkInstance(&r.Instance); err != nil {
		return nil, err
	}
	described := r.Memory
	if p.abi != nil && described.Imported &&
		p.abi.Memory != (MemoryImport{described.ImportModule, described.ImportName}) {
		return nil, fmt.Errorf(
			"module imports memory %s.%s, which the host does not provide to %s guests",
			described.ImportModule, described.ImportName, p.abi.Name)
	}
	if size := int64(described.MinPages) * PageSize; size > p.limits.MemoryBytes {
		return nil, &LimitError{
			Limit:   "bytes of linear memory at the start",
			Value:   size,
			Max:     p.limits.MemoryBytes,
			Setting: "limits.memory",
		}
	}
	return r, nil
}

// Description is what an engine would do with a module.
type Description struct {
	// Refused says why the engine would not load the module. It is nil if no check failed so far:
	// only compiling and starting the module show whether these succeed.
	Refused error
	// FreshInstances are the reasons why every evaluation needs a new instance. It is empty if
	// instances can be reused.
	FreshInstances []string
	// Compilation compares the module's compilation cost with each bound. It is nil if an earlier
	// check refused the module.
	Compilation []weight.Count
}

// Describe says what an engine with the given limits would do with a module on this processor,
// without compiling it. With a nil ABI, it skips the checks that depend on the ABI. A zero field of
// the limits takes the value from [DefaultLimits].
func Describe(binary []byte, abi *ABI, limits Limits) *Description {
	limits = limits.withDefaults()
	if err := limits.checkModule(binary); err != nil {
		return &Description{Refused: err}
	}
	p := &plan{abi: abi, limits: limits, miscompiles: faultsOf("").miscompiles}
	r, err := p.rewrite(binary)
	if err != nil {
		return &Description{Refused: err}
	}
	d := &Description{FreshInstances: r.NeedsFreshInstance}
	weighed, err := r.Weigh()
	if err != nil {
		d.Refused = err
		return d
	}
	d.Compilation = weighed.Counts(limits.Compilation)
	if d.Refused = weighed.Check(limits.Compilation); d.Refused == nil && abi != nil {
		d.Refused = abi.check(r, abi.functions())
	}
	return d
}
