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

package topdown

import (
	"context"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Loader returns a function that loads Rego policies for an execution mode, [abi.ExecutionModeOPA]
// or [abi.ExecutionModeGatekeeper]. It provides the Open Policy Agent's built-ins as Kubewarden
// does. The function is safe for concurrent use.
func Loader(mode abi.ExecutionMode) func(context.Context, *engine.Engine,
	[]byte) (abi.Guest, error) {
	return func(ctx context.Context, e *engine.Engine, binary []byte) (abi.Guest, error) {
		guest, err := rego.Load(ctx, e, binary, mode, Builtins{})
		if err != nil {
			return nil, err
		}
		return guest, nil
	}
}
