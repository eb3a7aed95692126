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

package guestio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxNameBytes bounds each name in a host call. Real names are far shorter.
const maxNameBytes = 1 << 10

// HostCalls answers the host calls of one evaluation. Only the goroutine of that evaluation may use
// it.
type HostCalls struct {
	made int64
	// shortage is the latest shortage that made a host call fail, if any.
	shortage *abi.ShortageError
}

// HostCallFunction describes the import through which guests make host calls. The two conventions
// name it differently and give its result different meanings.
func HostCallFunction(module, name string,
	call func(i *engine.Instance, stack []uint64)) engine.HostFunction {
	return engine.HostFunction{
		Module:   module,
		Name:     name,
		Params:   slices.Repeat([]engine.ValueType{engine.I32}, 8),
		Results:  []engine.ValueType{engine.I32},
		External: true,
		Call:     call,
	}
}

// Take answers a host call. The stack holds the addresses and lengths of binding, namespace,
// operation and payload. The returned error is for the guest. A call that exceeds a limit or
// reaches outside the guest's memory ends the evaluation.
func (h *HostCalls) Take(i *engine.Instance, env *abi.Environment, stack []uint64) ([]byte, error) {
	if h.made++; h.made > env.Limits.HostCalls {
		i.Abort(&engine.LimitError{
			Limit:   "host calls",
			Value:   h.made,
			Max:     env.Limits.HostCalls,
			Setting: "limits.hostCalls",
		})
	}
	call := abi.HostCall{
		Binding:   name(i, "binding", stack[0], stack[1]),
		Namespace: name(i, "namespace", stack[2], stack[3]),
		Operation: name(i, "operation", stack[4], stack[5]),
		Payload: Read(i, "host call payload", uint32(stack[6]), uint32(stack[7]),
			env.Limits.HostCallPayloadBytes),
	}
	i.Pay(textFuel * int64(len(call.Payload)))
	response, err := answer(i.Context(), env, call)
	errors.As(err, &h.shortage)
	return response, err
}

// Explain adds the latest shortage of a host call to the error of an evaluation. The guest may have
// reacted to the shortage in any way: with a trap, with its own error, or by doing nothing until
// its deadline.
func (h *HostCalls) Explain(err error) error {
	if err == nil || h.shortage == nil {
		return err
	}
	return &explained{error: err, shortage: h.shortage}
}

// explained is the error of an evaluation that met a shortage. Its text does not mention the
// shortage.
type explained struct {
	error
	shortage error
}

// Unwrap returns both errors.
func (e *explained) Unwrap() []error { return []error{e.error, e.shortage} }

func answer(ctx context.Context, env *abi.Environment, call abi.HostCall) ([]byte, error) {
	if env.Capabilities == nil {
		return nil, errors.New("Missing host callback function!") //nolint:revive,staticcheck // the text that Kubewarden's users know
	}
	response, err := env.Capabilities.Call(ctx, call)
	if err == nil && int64(len(response)) > env.Limits.HostCallPayloadBytes {
		err = &engine.LimitError{
			Limit: "bytes of host call response",
			Value: int64(len(response)),
			Max:   env.Limits.HostCallPayloadBytes,
		}
	}
	return response, err
}

func name(i *engine.Instance, what string, offset, length uint64) string {
	p := Read(i, "host call "+what, uint32(offset), uint32(length), maxNameBytes)
	if !utf8.Valid(p) {
		i.Abort(fmt.Errorf("host call %s is not UTF-8", what))
	}
	return string(p)
}

// StartEnvironment is the environment of start functions and warm-up rounds: no capabilities, no
// log, and the default limits. It must not be changed.
var StartEnvironment = abi.Environment{Limits: abi.Limits{
	RequestBytes:         8 << 20,
	ResponseBytes:        8 << 20,
	HostCallPayloadBytes: 4 << 20,
	HostCalls:            1000,
	LogLineBytes:         4 << 10,
}}
