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

// Package inspection describes modules without running them.
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

// Report describes a module.
type Report struct {
	// Module is the module's URI without possible secrets.
	Module string `json:"module"`
	// Digest is the SHA-256 of the binary, in the form of configurations.
	Digest string `json:"digest"`
	// Bytes is the size, and Functions the number of functions that the module defines.
	Bytes     int `json:"bytes"`
	Functions int `json:"functions"`
	// Metadata is the module's metadata. It is nil if there is none or if it is unreadable, and
	// MetadataProblem then says so.
	Metadata        *abi.Metadata `json:"metadata,omitempty"`
	MetadataProblem string        `json:"metadataProblem,omitempty"`
	// Convention is the calling convention that the module's structure indicates, or "" if it
	// indicates none. The metadata decides how the module is run.
	Convention Convention `json:"convention,omitempty"`
	// Rego describes a Rego guest. It is nil for others.
	Rego *Rego `json:"rego,omitempty"`
	// Imports and Exports list functions and all other items.
	Imports []string `json:"imports"`
	Exports []string `json:"exports"`
	// Features lists the WebAssembly features beyond version 1.0 that the module uses.
	Features []string `json:"features"`
	// Memory describes the linear memory. It is nil if there is none.
	Memory *Memory `json:"memory,omitempty"`
	// HostCalls reports whether the module can call the host. HostCapabilities lists the paths
	// whose names occur in its data. The module may build other names at run time.
	HostCalls        bool     `json:"hostCalls"`
	HostCapabilities []string `json:"hostCapabilities"`
	// Compilation compares the module with each limit on the cost of compilation.
	Compilation []weight.Count `json:"compilation,omitempty"`
	// Refused says why no server would load the module. It is "" if there is no known reason.
	Refused string `json:"refused,omitempty"`
	// Resettable reports whether instances can be reused. FreshInstances says why not. Every
	// evaluation then needs a new instance, which costs several times as much.
	Resettable     bool     `json:"resettable"`
	FreshInstances []string `json:"freshInstances,omitempty"`
}

// Memory describes a module's linear memory, in bytes.
type Memory struct {
	// Imported reports whether the host provides the memory.
	Imported bool `json:"imported"`
	// Initial is the initial size of an instance's memory.
	Initial int64 `json:"initial"`
	// Declared is the maximum size that the module declares, or 0 if it declares none.
	Declared int64 `json:"declared,omitempty"`
	// Limit is the maximum size under the given limits of a server.
	Limit int64 `json:"limit"`
}

// Inspect reads a module and describes it, for a server with the given limits. Zero fields of the
// limits select the values of [engine.DefaultLimits]. An error means that the binary is not a
// module.
func Inspect(uri string, binary []byte, limits engine.Limits) (*Report, error) {
	module, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Module: uri, Digest: engine.Digest(binary), Bytes: len(binary),
		Functions:  len(module.Functions),
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

// describe describes how a server would treat the module.
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
	r.Memory = &Memory{
		Imported: imported,
		Initial:  int64(limits[0].Min) * engine.PageSize,
		Limit:    most,
	}
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
	return slices.Compact(all) // a module may import the same item several times
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

// signature formats the type of a function as (i32, i32) i32.
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
