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

// What modules that Javy makes of JavaScript import, and what hosts provide.
const (
	javyModule = "kubewarden:javy/host"
	hostModule = "host"
	hostCall   = "call"
)

// adoptJavy has a module of JavaScript import the host call by the name that hosts know.
// Any other stays as it is.
func adoptJavy(binary []byte) ([]byte, error) {
	module, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	found := false
	for n := range module.Imports {
		if i := &module.Imports[n]; i.Module == javyModule && i.Name == hostCall {
			i.Module, found = hostModule, true
		}
	}
	if !found {
		return binary, nil
	}
	return module.Encode(), nil
}
