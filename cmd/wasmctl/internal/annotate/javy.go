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
	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// The imports of modules that Javy builds from JavaScript, and the imports that hosts provide.
const (
	javyModule = "kubewarden:javy/host"
	hostModule = "host"
	hostCall   = "call"
)

// adoptJavy renames the host call import of a JavaScript module to the name that hosts provide. It
// returns whether it changed the module.
func adoptJavy(module *wasm.Module) (changed bool) {
	for n := range module.Imports {
		if i := &module.Imports[n]; i.Module == javyModule && i.Name == hostCall {
			i.Module, changed = hostModule, true
		}
	}
	return changed
}
