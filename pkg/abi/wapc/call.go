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
	"context"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxErrorBytes bounds an error text from a guest. Real texts are far shorter.
const maxErrorBytes = 64 << 10

// call is the host's side of one operation. The guest's imports read and write its fields.
type call struct {
	env         *abi.Environment
	operation   string
	payload     [][]byte
	parts       [5][]byte // the payload of an evaluation
	payloadSize int
	output      [2]guestio.Lines

	responded bool
	response  []byte
	failed    bool
	// guestError is the guest's error text. It is valid if failed is set.
	guestError string

	hostCalls    guestio.HostCalls
	hostResponse []byte
	hostError    []byte
}

func callOf(i *engine.Instance) *call { return i.State().(*call) }

// guestRequest copies the operation's name and payload into the guest.
func guestRequest(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	name := nameOfValidate
	if c.operation != operationValidate {
		name = []byte(c.operation)
	}
	guestio.Write(i, "operation", uint32(stack[0]), name)
	guestio.Write(i, "request", uint32(stack[1]), c.payload...)
}

func guestResponse(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	c.response = guestio.Read(i, "response", uint32(stack[0]), uint32(stack[1]),
		c.env.Limits.ResponseBytes)
	c.responded = true
}

func guestError(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	length := min(uint32(stack[1]), maxErrorBytes)
	c.guestError =
		strings.ToValidUTF8(
			string(guestio.Read(i, "error", uint32(stack[0]), length, maxErrorBytes)), "\uFFFD")
	c.failed = true
}

// hostCall calls a host capability. It leaves 1 on the stack for success and 0 for failure, and
// keeps the answer until the guest fetches it.
func hostCall(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	c.hostResponse, c.hostError = nil, nil
	response, err := c.hostCalls.Take(i, c.env, stack)
	if err != nil {
		c.hostError = []byte(err.Error())
		stack[0] = 0
		return
	}
	c.hostResponse = response
	stack[0] = 1
}

func hostResponseLen(i *engine.Instance, stack []uint64) {
	stack[0] = uint64(len(callOf(i).hostResponse))
}

func hostResponse(i *engine.Instance, stack []uint64) {
	guestio.Write(i, "host response", uint32(stack[0]), callOf(i).hostResponse)
}

func hostErrorLen(i *engine.Instance, stack []uint64) {
	stack[0] = uint64(len(callOf(i).hostError))
}

func hostError(i *engine.Instance, stack []uint64) {
	guestio.Write(i, "host error", uint32(stack[0]), callOf(i).hostError)
}

func consoleLog(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	// A line that is too long is cut, and does not end the evaluation.
	offset, length := uint32(stack[0]), uint32(stack[1])
	if _, ok := i.Read(offset, length); !ok {
		i.Abort(guestio.OutOfBounds("console log", offset, uint64(length)))
	}
	length = uint32(min(int64(length), c.env.Limits.LogLineBytes))
	guestio.Log(i.Context(), c.env, "console",
		guestio.Read(i, "console log", offset, length, c.env.Limits.LogLineBytes))
}

// output collects what a guest prints during the running call.
func output(i *engine.Instance, fd int, p []byte) {
	c := callOf(i)
	c.output[fd-1].Write(p, c.env.Limits.LogLineBytes, func(line []byte) {
		guestio.Log(i.Context(), c.env, outputs[fd-1], line)
	})
}

// outputs names the guest's output streams, by file descriptor minus 1.
var outputs = [2]string{"stdout", "stderr"}

// flushOutput logs a last line that the guest did not end.
func (c *call) flushOutput(ctx context.Context) {
	for n := range c.output {
		c.output[n].Flush(func(line []byte) { guestio.Log(ctx, c.env, outputs[n], line) })
	}
}
