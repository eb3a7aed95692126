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

package annotate

import (
	"slices"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// The start functions of waPC guests.
const (
	startCommand = "_start"
	startReactor = "_initialize"
	startWaPC    = "wapc_init"
)

// startOnKubewarden makes a reactor also export its start function under a name that Kubewarden's
// host calls: _start instead of _initialize. Without this, every call of a module that the Go
// toolchain builds with -buildmode=c-shared fails there. It returns whether it changed the module.
// Guests that export _start or wapc_init stay unchanged, because every host calls these.
func startOnKubewarden(mode abi.ExecutionMode, module *wasm.Module) bool {
	if mode != abi.ExecutionModeWaPC {
		return false
	}
	named := func(names ...string) int {
		return slices.IndexFunc(module.Exports, func(e wasm.Export) bool {
			return e.Kind == wasm.ExternFunction && slices.Contains(names, e.Name)
		})
	}
	n := named(startReactor)
	if n < 0 || named(startCommand, startWaPC) >= 0 {
		return false
	}
	module.Exports[n].Name = startCommand
	return true
}
