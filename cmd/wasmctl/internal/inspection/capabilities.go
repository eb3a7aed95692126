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
	"bytes"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// hostCallImports are the imports for host calls in waPC, in WASI, and in Javy's modules from
// JavaScript.
var hostCallImports = []struct{ module, name string }{
	{"wapc", "__host_call"}, {"host", "call"}, {"kubewarden:javy/host", "call"},
}

// callsHost reports whether a module can call the host.
func callsHost(m *wasm.Module) bool {
	for n := range m.Imports {
		for _, i := range hostCallImports {
			if m.Imports[n].Module == i.module && m.Imports[n].Name == i.name {
				return true
			}
		}
	}
	return false
}

// capabilitiesIn returns the paths of host capabilities whose namespace and operation both occur in
// a module's data. This is a guess, because nothing says how data is used.
func capabilitiesIn(m *wasm.Module) []string {
	found := []string{}
	if !callsHost(m) {
		return found
	}
	for _, path := range capabilities.Paths() {
		namespace, operation, _ := strings.Cut(path, "/")
		if inData(m, namespace) && inData(m, operation) {
			found = append(found, path)
		}
	}
	return found
}

func inData(m *wasm.Module, text string) bool {
	return slices.ContainsFunc(m.Data, func(s wasm.DataSegment) bool {
		return bytes.Contains(s.Bytes, []byte(text))
	})
}
