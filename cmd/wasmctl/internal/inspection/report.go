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

// Package inspection says what a module is without running it.
package inspection

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
)

// Report is what can be said of a module.
type Report struct {
	// Module is its URI, without what may be secret.
	Module string `json:"module"`
	// Digest is the SHA-256 of the binary, as configurations name it.
	Digest string `json:"digest"`
	// Bytes is its size, and Functions how many functions it defines.
	Bytes     int `json:"bytes"`
	Functions int `json:"functions"`
	// Metadata is what the module says of itself; nil if that is nothing, or nothing that
	// can be read, which MetadataProblem says then.
	Metadata        *abi.Metadata `json:"metadata,omitempty"`
	MetadataProblem string        `json:"metadataProblem,omitempty"`
	// Convention is that by which guests of its shape are spoken to, "" if it has the shape
	// of none. What it is run as is for its metadata to say.
	Convention Convention `json:"convention,omitempty"`
	// Rego is what there is to say of a guest in Rego, nil of others.
	Rego *Rego `json:"rego,omitempty"`
	// Imports and Exports are the functions, and all else, at its border.
	Imports []string `json:"imports"`
	Exports []string `json:"exports"`
	// Features are those of WebAssembly beyond version 1.0 that it uses.
	Features []string `json:"features"`
	// Memory is its linear memory, nil if there is none.
	Memory *Memory `json:"memory,omitempty"`
	// HostCalls is whether it can call the host, and HostCapabilities are the paths of
	// those whose names are in its data. Others may be put together when it runs.
	HostCalls        bool     `json:"hostCalls"`
	HostCapabilities []string `json:"hostCapabilities"`
	// Compilation says how near the module is to each bound on what compiling it costs.
	Compilation []weight.Count `json:"compilation,omitempty"`
	// Refused says why no server would load it, "" if nothing speaks against it.
	Refused string `json:"refused,omitempty"`
	// Resettable is whether instances can be used again. FreshInstances says why not:
	// every evaluation then needs one of its own, which costs a multiple.
	Resettable     bool     `json:"resettable"`
	FreshInstances []string `json:"freshInstances,omitempty"`
}

// Memory is a module's linear memory, in bytes.
type Memory struct {
	// Imported is whether the host makes it.
	Imported bool `json:"imported"`
	// Initial is what an instance begins with.
	Initial int64 `json:"initial"`
	// Declared is the most that the module would ever have, 0 if it does not say.
	Declared int64 `json:"declared,omitempty"`
	// Limit is the most that a server with the limits would give it.
	Limit int64 `json:"limit"`
}

// Inspect reads a module, and says what a server with some limits makes of it. A zero field
// of the limits takes the value of [engine.DefaultLimits]. An error means that it is none.
func Inspect(uri string, binary []byte, limits engine.Limits) (*Report, error) {
	module, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Module: uri, Digest: engine.Digest(binary), Bytes: len(binary), Functions: len(module.Functions),
		Convention: conventionOf(module), Imports: imports(module), Exports: exports(module),
		HostCalls: callsHost(module), HostCapabilities: capabilitiesIn(module),
	}
	if r.Convention == ConventionRego {
		r.Rego = &Rego{ABIVersion: regoVersion(module)}
	}
	if r.Metadata, err = abi.ReadMetadata(binary); err != nil {
		r.Metadata, r.MetadataProblem = nil, err.Error()
	}
	if r.Features, err = features(module); err != nil {
		return nil, err
	}
	r.memory(module, cmp.Or(limits.MemoryBytes, engine.DefaultLimits.MemoryBytes))
	r.describe(binary, limits)
	return r, nil
}

// describe says what a server would make of the module.
func (r *Report) describe(binary []byte, limits engine.Limits) {
	d := engine.Describe(binary, r.abi(), limits)
	r.Compilation = d.Compilation
	switch {
	case d.Refused != nil:
		r.Refused = d.Refused.Error()
	case len(d.FreshInstances) > 0:
		r.FreshInstances = d.FreshInstances
	default:
		r.Resettable = true
	}
}

func (r *Report) memory(m *wasm.Module, most int64) {
	limits, imported := m.Memories, false
	for n := range m.Imports {
		if m.Imports[n].Kind == wasm.ExternMemory {
			limits, imported = []wasm.Limits{m.Imports[n].Memory}, true
		}
	}
	if len(limits) == 0 {
		return
	}
	r.Memory = &Memory{Imported: imported, Initial: int64(limits[0].Min) * engine.PageSize, Limit: most}
	if limits[0].HasMax {
		r.Memory.Declared = int64(limits[0].Max) * engine.PageSize
	}
}

func imports(m *wasm.Module) []string {
	all := []string{}
	for n := range m.Imports {
		i := &m.Imports[n]
		text := i.Module + "." + i.Name
		if i.Kind == wasm.ExternFunction {
			text += signature(m, i.TypeIndex)
		} else {
			text += " (" + i.Kind.String() + ")"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return slices.Compact(all) // a module may import one thing several times
}

func exports(m *wasm.Module) []string {
	all := []string{}
	types := m.FunctionTypes()
	for _, e := range m.Exports {
		if e.Kind == wasm.ExternFunction {
			all = append(all, e.Name+signature(m, types[e.Index]))
		} else {
			all = append(all, e.Name+" ("+e.Kind.String()+")")
		}
	}
	slices.Sort(all)
	return all
}

// signature writes the type of a function as (i32, i32) i32.
func signature(m *wasm.Module, index uint32) string {
	names := func(types []wasm.ValueType) string {
		var all []string
		for _, t := range types {
			all = append(all, t.String())
		}
		return strings.Join(all, ", ")
	}
	t := m.Types[index]
	return strings.TrimSuffix("("+names(t.Params)+") "+names(t.Results), " ")
}
