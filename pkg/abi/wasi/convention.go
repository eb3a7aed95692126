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

// The operations of a Kubewarden policy. The guest finds them in its first argument.
const (
	operationValidate         = "validate"
	operationValidateSettings = "validate-settings"
)

// program is Kubewarden's name for every guest: argument 0 of the program.
const program = "policy.wasm"

// ABI returns the WASI convention. Engines use it to recognize WASI guests. It must not be changed.
func ABI() *engine.ABI { return convention }

// convention describes the WASI ABI to the engine. Javy guests import the host call under another
// name.
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

// input reads from the guest's standard input. This is a queue: after its end, more data may
// follow.
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

// output collects what a guest prints. Its standard output is its answer.
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

// hostCall calls a host capability. It leaves 0 on the stack for success and 1 for failure, and
// queues the answer on the guest's standard input.
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
	// This bounds what the host keeps for a guest that does not read.
	limits := &r.env.Limits
	if unread, limit := r.unread+int64(len(answer)), limits.RequestBytes+
		limits.HostCallPayloadBytes; unread > limit {
		i.Abort(&engine.LimitError{
			Limit: "bytes of standard input that the guest does not read",
			Value: unread,
			Max:   limit,
		})
	}
	r.feed(slices.Clip(answer))
}
