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

// Package host is what policies find around them in wasmctl: the execution modes that it
// knows, and what answers host calls. It is where an execution mode or a capability is
// plugged in.
package host

import (
	"context"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Guests returns how policies of the execution modes are loaded that need a library of
// their own. Those that a server links are the same.
func Guests() map[abi.ExecutionMode]policyset.GuestLoader {
	return map[abi.ExecutionMode]policyset.GuestLoader{
		abi.ExecutionModeOPA:        loadRego(abi.ExecutionModeOPA),
		abi.ExecutionModeGatekeeper: loadRego(abi.ExecutionModeGatekeeper),
	}
}

// loadRego loads policies in Rego, to which the Open Policy Agent lends its functions.
func loadRego(mode abi.ExecutionMode) policyset.GuestLoader {
	return func(ctx context.Context, e *engine.Engine, wasm []byte) (abi.Guest, error) {
		guest, err := rego.Load(ctx, e, wasm, mode, topdown.Builtins{})
		if err != nil {
			return nil, err
		}
		return guest, nil
	}
}
