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

// What the rewrite adds to a module lies under these names, which no guest may
// use itself.
const (
	tickModule   = "wasm-admission"
	tickName     = "tick"
	exportPrefix = "wasm-admission."
)

// plan is what is made of a module before it is compiled, and what it must not exceed.
type plan struct {
	// abi is nil if it is not known which one the module follows.
	abi         *ABI
	limits      Limits
	interpreter bool
	miscompiles bool
}

func (m *Module) plan() *plan {
	return &plan{abi: m.abi, limits: m.limits, interpreter: m.engine.interpreter, miscompiles: m.engine.faults.miscompiles}
}

// checkModule bounds what is read of a module.
func (l *Limits) checkModule(binary []byte) error {
	if size := int64(len(binary)); size > l.ModuleBytes {
		return &LimitError{Limit: "bytes of module", Value: size, Max: l.ModuleBytes, Setting: "limits.moduleSize"}
	}
	return nil
}

// rewrite makes of a module what is compiled, and refuses what no instance could be made of.
func (p *plan) rewrite(binary []byte) (*rewrite.Result, error) {
	r, err := rewrite.Module(binary, rewrite.Options{
		TickModule:   tickModule,
		TickName:     tickName,
		ExportPrefix: exportPrefix,
		// The declared maximum is raised to what can be declared, at least a page
		// more than there can be: the instance's memory enforces the limit, and
		// needs that page to shrink (see [memory.Range.Bind]).
		MemoryMaxPages:  wasm.MaxMemoryPages,
		AdoptMemory:     true,
		TableMaxEntries: p.limits.TableEntries,
		ExtractData:     true,
		ExportStart:     true,
		LowerReferences: true,
		// Interpreted or not: there is one module for a processor.
		ReplaceMiscompiled: p.miscompiles,
		Park:               p.park(),
	})
	if err != nil {
		return nil, err
	}
	// Code can grow when it is metered, most where it was written for that.
	if size, most := int64(len(r.Module)), 2*p.limits.ModuleBytes; size > most {
		return nil, &LimitError{Limit: "bytes of metered module", Value: size, Max: most, Setting: "limits.moduleSize"}
	}
	if err := p.checkInstance(&r.Instance); err != nil {
		return nil, err
	}
	described := r.Memory
	if p.abi != nil && described.Imported && p.abi.Memory != (MemoryImport{described.ImportModule, described.ImportName}) {
		return nil, fmt.Errorf("module imports memory %s.%s, which the host does not provide to %s guests", described.ImportModule, described.ImportName, p.abi.Name)
	}
	if size := int64(described.MinPages) * PageSize; size > p.limits.MemoryBytes {
		return nil, &LimitError{Limit: "bytes of linear memory at the start", Value: size, Max: p.limits.MemoryBytes, Setting: "limits.memory"}
	}
	return r, nil
}

// Description is what an engine makes of a module.
type Description struct {
	// Refused says why it does not load the module; nil if nothing speaks against it yet.
	// Whether the compiler takes it, and it starts, is not known.
	Refused error
	// FreshInstances says why every evaluation needs an instance of its own; empty if
	// instances can be used again.
	FreshInstances []string
	// Compilation says how near the module is to each bound on what compiling it costs; nil
	// if it does not come to that.
	Compilation []weight.Count
}

// Describe says what an engine with some limits makes of a module before it compiles it, on
// this processor. An ABI of nil leaves out what depends on it. A zero field of the limits
// takes the value of [DefaultLimits].
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
