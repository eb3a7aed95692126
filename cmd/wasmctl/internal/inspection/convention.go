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

// Convention is a calling convention between host and guest.
type Convention string

// The conventions, which are detected by the structure of a module.
const (
	// ConventionWaPC is the convention of guests that a host calls through __guest_call.
	ConventionWaPC Convention = "wapc"
	// ConventionWASI is the convention of programs, which WASI calls commands: they start at
	// _start, read their standard input and write their standard output.
	ConventionWASI Convention = "wasi-command"
	// ConventionRego is the convention of modules from the Open Policy Agent's compiler.
	ConventionRego Convention = "rego"
)

// wasiModule is the module that programs import.
const wasiModule = "wasi_snapshot_preview1"

func conventionOf(m *wasm.Module) Convention {
	importsWASI := slices.ContainsFunc(m.Imports, func(i wasm.Import) bool {
		return i.Module == wasiModule
	})
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

// abi returns the ABI that a server expects of the module, or nil if it is unknown. It comes from
// the metadata, or else from the structure of the module.
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

// conventions maps execution modes in metadata to conventions.
var conventions = map[abi.ExecutionMode]Convention{
	abi.ExecutionModeWaPC:       ConventionWaPC,
	abi.ExecutionModeWASI:       ConventionWASI,
	abi.ExecutionModeOPA:        ConventionRego,
	abi.ExecutionModeGatekeeper: ConventionRego,
}

func exportsFunction(m *wasm.Module, name string) bool {
	return slices.ContainsFunc(m.Exports, func(e wasm.Export) bool {
		return e.Kind == wasm.ExternFunction && e.Name == name
	})
}

// Rego describes a Rego guest.
type Rego struct {
	// ABIVersion is the version of the Open Policy Agent's ABI, such as "1.3", or "" if the module
	// does not state it.
	ABIVersion string `json:"abiVersion,omitempty"`
	// Rego is the guest's description of itself. It is nil if the guest was not asked, or if it
	// failed; Problem then has the reason. No server loads a guest that fails.
	*host.Rego
	Problem string `json:"problem,omitempty"`
}

// regoVersion returns the ABI version from a module's constants.
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

// constant returns the value of an exported immutable global.
func constant(m *wasm.Module, name string) (int32, bool) {
	for _, e := range m.Exports {
		n := int(e.Index) - m.ImportedCount(wasm.ExternGlobal)
		if e.Name == name && e.Kind == wasm.ExternGlobal && n >= 0 && !m.Globals[n].Type.Mutable {
			return m.Globals[n].Init.I32()
		}
	}
	return 0, false
}
