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

package inspection

import (
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wasi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Convention is a way in which a host and a guest speak with each other.
type Convention string

// The conventions, by what modules look like that follow them.
const (
	// ConventionWaPC is that of guests that a host calls by __guest_call.
	ConventionWaPC Convention = "wapc"
	// ConventionWASI is that of programs: they begin at _start, read their standard input
	// and write their standard output. WASI calls them commands.
	ConventionWASI Convention = "wasi-command"
	// ConventionRego is that of modules made by the compiler of the Open Policy Agent.
	ConventionRego Convention = "rego"
)

// wasiModule is what programs import.
const wasiModule = "wasi_snapshot_preview1"

func conventionOf(m *wasm.Module) Convention {
	importsWASI := slices.ContainsFunc(m.Imports, func(i wasm.Import) bool { return i.Module == wasiModule })
	switch {
	case host.IsRego(m):
		return ConventionRego
	case exportsFunction(m, "__guest_call"):
		return ConventionWaPC
	case exportsFunction(m, "_start") && importsWASI:
		return ConventionWASI
	}
	return ""
}

// abi is what a server expects of the module, nil if it is not known: what the metadata says, or
// else what it looks like.
func (r *Report) abi() *engine.ABI {
	convention := r.Convention
	if r.Metadata != nil {
		convention = conventions[r.Metadata.ExecutionMode]
	}
	switch convention {
	case ConventionWaPC:
		return wapc.ABI()
	case ConventionWASI:
		return wasi.ABI()
	case ConventionRego:
		return rego.ABI()
	}
	return nil
}

// conventions are those of modules by what their metadata says.
var conventions = map[abi.ExecutionMode]Convention{
	abi.ExecutionModeWaPC:       ConventionWaPC,
	abi.ExecutionModeWASI:       ConventionWASI,
	abi.ExecutionModeOPA:        ConventionRego,
	abi.ExecutionModeGatekeeper: ConventionRego,
}

func exportsFunction(m *wasm.Module, name string) bool {
	return slices.ContainsFunc(m.Exports, func(e wasm.Export) bool { return e.Kind == wasm.ExternFunction && e.Name == name })
}

// Rego is what there is to say of a guest in Rego.
type Rego struct {
	// ABIVersion is that of the Open Policy Agent's ABI, such as "1.3"; "" if the module
	// does not say.
	ABIVersion string `json:"abiVersion,omitempty"`
	// Rego is what the guest says when it is asked; nil if it was not, or did not say, for
	// which Problem is the reason then. No server loads a guest that does not.
	*host.Rego
	Problem string `json:"problem,omitempty"`
}

// regoVersion returns the version of the ABI that a module says in constants.
func regoVersion(m *wasm.Module) string {
	major, found := constant(m, "opa_wasm_abi_version")
	if !found {
		return ""
	}
	minor, found := constant(m, "opa_wasm_abi_minor_version")
	if !found {
		return fmt.Sprint(major)
	}
	return fmt.Sprintf("%d.%d", major, minor)
}

// constant returns an exported number that does not change.
func constant(m *wasm.Module, name string) (int32, bool) {
	for _, e := range m.Exports {
		n := int(e.Index) - m.ImportedCount(wasm.ExternGlobal)
		if e.Name == name && e.Kind == wasm.ExternGlobal && n >= 0 && !m.Globals[n].Type.Mutable {
			return m.Globals[n].Init.I32()
		}
	}
	return 0, false
}
