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

package wasi

import (
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The operations of a Kubewarden policy, as the guest's first argument.
const (
	operationValidate         = "validate"
	operationValidateSettings = "validate-settings"
)

// program is what Kubewarden calls every guest: the name that is no argument.
const program = "policy.wasm"

// ABI returns the convention of WASI guests, by which an engine tells whether a module is one.
// It must not be changed.
func ABI() *engine.ABI { return convention }

// convention is the WASI ABI as the engine needs to know it. Guests of Javy make host
// calls under another name.
var convention = &engine.ABI{
	Name:            "WASI",
	RequiredExports: []string{"_start"},
	HostFunctions: []engine.HostFunction{
		guestio.HostCallFunction("host", "call", hostCall),
		guestio.HostCallFunction("kubewarden:javy/host", "call", hostCall),
	},
	Command:    &engine.Command{Input: input, Parked: []string{program, operationValidate}},
	Output:     output,
	StartState: func() any { return &run{env: &guestio.StartEnvironment} },
}

func runOf(i *engine.Instance) *run { return i.State().(*run) }

// input is the guest's standard input: a queue, whose end is no end for good.
func input(i *engine.Instance, p []byte) int {
	r := runOf(i)
	read := 0
	for len(r.input) > 0 && read < len(p) {
		n := copy(p[read:], r.input[0])
		read += n
		if r.input[0] = r.input[0][n:]; len(r.input[0]) == 0 {
			r.input = r.input[1:]
		}
	}
	r.unread -= int64(read)
	return read
}

// output keeps what a guest prints: standard output is its answer.
func output(i *engine.Instance, fd int, p []byte) {
	r := runOf(i)
	if fd != 1 {
		r.stderr = append(r.stderr, p[:min(len(p), maxErrorBytes-len(r.stderr))]...)
		return
	}
	if size, limit := int64(len(r.stdout)+len(p)), r.env.Limits.ResponseBytes; size > limit {
		i.Abort(guestio.TooLong("response", size, limit))
	}
	r.stdout = append(r.stdout, p...)
}

// hostCall asks a host capability. It leaves 0 on the stack if that succeeded, 1 if
// not, and the answer on the guest's standard input.
func hostCall(i *engine.Instance, stack []uint64) {
	r := runOf(i)
	answer, err := r.hostCalls.Take(i, r.env, stack)
	stack[0] = 0
	if err != nil {
		answer, stack[0] = []byte(err.Error()), 1
	}
	if len(answer) == 0 {
		return
	}
	// A guest that does not read must not have the host keep it all.
	limits := &r.env.Limits
	if unread, limit := r.unread+int64(len(answer)), limits.RequestBytes+limits.HostCallPayloadBytes; unread > limit {
		i.Abort(&engine.LimitError{Limit: "bytes of standard input that the guest does not read", Value: unread, Max: limit})
	}
	r.feed(slices.Clip(answer))
}
