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
	"fmt"
	"slices"
	"strconv"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// Module rewrites a module in the binary format. It does not change the input, but [Result.Image]
// aliases it. Errors wrap [*wasm.Error] and [*wasm.UnsupportedError] if the input is malformed or
// uses an unsupported proposal. Module is safe for concurrent use.
func Module(input []byte, options Options) (*Result, error) {
	if err := options.validate(); err != nil {
		return nil, err
	}
	m, err := wasm.Decode(input)
	if err != nil {
		return nil, err
	}
	if err := options.checkReserved(m); err != nil {
		return nil, err
	}
	r := &rewriter{options: options, module: m}
	r.result.Exports = slices.Clone(m.Exports)
	if options.LowerReferences {
		if err := lowerDeclarations(m); err != nil {
			return nil, err
		}
	}
	if options.Park != nil {
		if r.result.ParkExport, err = park(m, &options); err != nil {
			return nil, err
		}
	}
	r.functionTypes, r.imported = m.FunctionTypes(), uint32(m.ImportedCount(wasm.ExternFunction))
	for _, pass := range []func() error{
		r.checkStart,
		// Later passes may rely on well-formed bodies, and on bodies without typed references if
		// these are lowered.
		r.scan,
		r.limitTables,
		r.limitMemory,
		r.extractData,
		r.meter,
		r.renumber,
		r.exportGlobals,
		r.exportStart,
	} {
		if err := pass(); err != nil {
			return nil, err
		}
	}
	// Copy the result, so that keeping it does not keep the rewriter's working data.
	result, size := r.result, len(input)
	result.Weigh = func() (*weight.Weight, error) { return weight.Of(m, size, 1) }
	result.Instance = contents(m)
	result.Module = m.Encode()
	return &result, nil
}

// contents counts what an instance of a rewritten module has.
func contents(m *wasm.Module) Contents {
	c := Contents{Globals: len(m.Globals), Segments: len(m.Elements) + len(m.Data)}
	for i := range m.Tables {
		c.TableEntries += uint64(m.Tables[i].Type.Limits.Min)
	}
	for i := range m.Elements {
		c.ElementEntries += uint64(len(m.Elements[i].Functions) + len(m.Elements[i].Exprs))
	}
	for i := range m.Data {
		if m.Data[i].Mode == wasm.SegmentActive {
			c.DataBytes += uint64(len(m.Data[i].Bytes))
		}
	}
	return c
}

// rewriter holds the state of one rewrite.
type rewriter struct {
	options Options
	module  *wasm.Module
	result  Result

	// functionTypes and imported describe the function index space of the input.
	functionTypes []uint32
	imported      uint32

	facts facts
	graph callGraph
	// codeBytes is the total size of the code.
	codeBytes int
}

// functionType returns the type of a function by its index in the input.
func (r *rewriter) functionType(index uint32) *wasm.FuncType {
	return &r.module.Types[r.functionTypes[index]]
}

// tick returns the index of the tick function in the output: the last import.
func (r *rewriter) tick() uint32 { return r.imported }

// shift maps a function index from the input to the output. Imports come first in the index space,
// so the added import shifts every function that the module defines.
func (r *rewriter) shift(index uint32) uint32 {
	if index >= r.imported {
		return index + 1
	}
	return index
}

// renumber adds the tick import and shifts all function indices outside of the code.
// [rewriter.meter] has shifted those in the code.
func (r *rewriter) renumber() error {
	m := r.module
	r.reportFunctions()
	tickType := slices.IndexFunc(m.Types, func(t wasm.FuncType) bool {
		return len(t.Params)+len(t.Results) == 0
	})
	if tickType < 0 {
		tickType = len(m.Types)
		m.Types = append(m.Types, wasm.FuncType{})
	}
	m.Imports = append(m.Imports, wasm.Import{
		Module: r.options.TickModule, Name: r.options.TickName, Kind: wasm.ExternFunction,
		TypeIndex: uint32(tickType),
	})
	for i := range m.Exports {
		if m.Exports[i].Kind == wasm.ExternFunction {
			m.Exports[i].Index = r.shift(m.Exports[i].Index)
		}
	}
	replaceReferences(m, r.shift)
	if m.Start != nil {
		*m.Start = r.shift(*m.Start)
	}
	return r.renumberNames()
}

func (r *rewriter) renumberNames() error {
	for i := range r.module.Custom {
		c := &r.module.Custom[i]
		if c.Name != wasm.NameSection {
			continue
		}
		payload, err := wasm.RenumberNames(c.Payload, r.shift)
		if err != nil {
			return err
		}
		c.Payload = payload
	}
	return nil
}

func (r *rewriter) reportFunctions() {
	r.result.FunctionExports = make(map[string]wasm.FuncType, len(r.result.Exports))
	for i := range r.result.Exports {
		if e := &r.result.Exports[i]; e.Kind == wasm.ExternFunction {
			r.result.FunctionExports[e.Name] = *r.functionType(e.Index)
		}
	}
	for i := range r.module.Imports {
		im := &r.module.Imports[i]
		if im.Kind == wasm.ExternFunction {
			t := &r.module.Types[im.TypeIndex]
			r.result.FunctionImports = append(r.result.FunctionImports,
				FunctionImport{
					Module:  im.Module,
					Name:    im.Name,
					Params:  t.Params,
					Results: t.Results,
				})
		}
	}
}

// fuelGlobal returns the index of the fuel global. It comes after all others, so that none of them
// moves.
func (r *rewriter) fuelGlobal() uint32 {
	return uint32(r.module.ImportedCount(wasm.ExternGlobal) + len(r.module.Globals))
}

// stackGlobal returns the index of the stack global.
func (r *rewriter) stackGlobal() uint32 { return r.fuelGlobal() + 1 }

// exportGlobals exports every mutable global of the module under a reserved name, and adds the fuel
// and stack globals.
func (r *rewriter) exportGlobals() error {
	m := r.module
	imported := m.ImportedCount(wasm.ExternGlobal)
	fuel, stack := r.fuelGlobal(), r.stackGlobal()
	for i := range m.Globals {
		t := m.Globals[i].Type
		if !t.Mutable {
			continue
		}
		index := uint32(imported + i)
		switch t.Type.Code {
		case wasm.I32, wasm.I64, wasm.F32, wasm.F64:
		default:
			r.needsFresh(fmt.Sprintf("global %d is a mutable %s, which the host cannot restore",
				index, t.Type))
			continue
		}
		name := r.options.ExportPrefix + "global." + strconv.Itoa(int(index))
		r.result.Globals = append(r.result.Globals,
			Global{Index: index, Type: t.Type.Code, Export: name})
		m.Exports = append(m.Exports,
			wasm.Export{Name: name, Kind: wasm.ExternGlobal, Index: index})
	}
	r.result.FuelExport = r.options.ExportPrefix + "fuel"
	r.result.StackExport = r.options.ExportPrefix + "stack"
	m.Globals = append(m.Globals,
		wasm.Global{
			Type: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I64}, Mutable: true},
			Init: wasm.I64Const(0),
		},
		wasm.Global{
			Type: wasm.GlobalType{Type: wasm.ValueType{Code: wasm.I64}, Mutable: true},
			Init: wasm.I64Const(MaxStackBytes),
		})
	m.Exports = append(m.Exports,
		wasm.Export{Name: r.result.FuelExport, Kind: wasm.ExternGlobal, Index: fuel},
		wasm.Export{Name: r.result.StackExport, Kind: wasm.ExternGlobal, Index: stack})
	return nil
}

// checkStart checks the signature of the start function, because nothing else does once it is an
// export.
func (r *rewriter) checkStart() error {
	if r.module.Start == nil {
		return nil
	}
	r.result.HasStart = true
	if t := r.functionType(*r.module.Start); len(t.Params)+len(t.Results) > 0 {
		return fmt.Errorf("start function %d has %d parameters and %d results, expected none",
			*r.module.Start, len(t.Params), len(t.Results))
	}
	return nil
}

// exportStart turns the start function into an export. It runs after renumber, so the index is the
// output's.
func (r *rewriter) exportStart() error {
	m := r.module
	if m.Start == nil || !r.options.ExportStart {
		return nil
	}
	r.result.StartExport = r.options.ExportPrefix + "start"
	m.Exports = append(m.Exports,
		wasm.Export{Name: r.result.StartExport, Kind: wasm.ExternFunction, Index: *m.Start})
	m.Start = nil
	return nil
}

// maxReasons bounds [Result.NeedsFreshInstance]. One reason would suffice; the others are for
// readers.
const maxReasons = 100

func (r *rewriter) needsFresh(reason string) {
	if reasons := r.result.NeedsFreshInstance; len(reasons) < maxReasons &&
		!slices.Contains(reasons, reason) {
		r.result.NeedsFreshInstance = append(reasons, reason)
	}
}
