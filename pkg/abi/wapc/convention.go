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

package wapc

import (
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// ABI returns the waPC convention. Engines use it to recognize waPC guests. It must not be changed.
func ABI() *engine.ABI { return convention }

// convention describes the waPC ABI to the engine. The start functions come in the order of waPC's
// own Go host. They are a superset of those that Kubewarden's host calls, so that reactors (Go's
// -buildmode=c-shared) also work.
var convention = &engine.ABI{
	Name:            "waPC",
	RequiredExports: []string{guestCall},
	StartFunctions:  []string{"_start", "_initialize", "wapc_init"},
	HostFunctions: []engine.HostFunction{
		function("__guest_request", 2, 0, guestRequest),
		function("__guest_response", 2, 0, guestResponse),
		function("__guest_error", 2, 0, guestError),
		guestio.HostCallFunction("wapc", "__host_call", hostCall),
		function("__host_response_len", 0, 1, hostResponseLen),
		function("__host_response", 1, 0, hostResponse),
		function("__host_error_len", 0, 1, hostErrorLen),
		function("__host_error", 1, 0, hostError),
		function("__console_log", 2, 0, consoleLog),
	},
	Output:     output,
	StartState: func() any { return &call{env: &guestio.StartEnvironment} },
	WarmUps:    warmUps(),
}

// warmUps returns functions that run a validate operation.
func warmUps() (all []func(*engine.Instance) error) {
	for _, request := range guestio.WarmUpRequests {
		payload := []byte(`{"request":` + request + `,"settings":{}}`)
		all = append(all, func(i *engine.Instance) error { return warmUp(i, payload) })
	}
	return all
}

// warmUp treats an error of the guest as a failure, because the guest may have stopped halfway
// through its work.
func warmUp(i *engine.Instance, payload []byte) error {
	c := callOf(i)
	c.operation, c.payload, c.payloadSize = operationValidate, [][]byte{payload}, len(payload)
	ok, err := i.Call(guestCall, uint64(len(c.operation)), uint64(c.payloadSize))
	if err != nil {
		return err
	}
	_, err = c.outcome(uint32(ok) != 0)
	return err
}

// function describes an import of a waPC guest. All parameters and results have the type i32.
func function(name string, params, results int,
	call func(*engine.Instance, []uint64)) engine.HostFunction {
	return engine.HostFunction{
		Module:  "wapc",
		Name:    name,
		Params:  slices.Repeat([]engine.ValueType{engine.I32}, params),
		Results: slices.Repeat([]engine.ValueType{engine.I32}, results),
		Call:    call,
	}
}
