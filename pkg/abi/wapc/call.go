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
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// maxNameBytes bounds the parts of a host call's address, and maxErrorBytes the
// text of an error that a guest reports. Real ones are far shorter.
const (
	maxNameBytes  = 1 << 10
	maxErrorBytes = 64 << 10
)

// call is the host's side of one operation. Its fields are what the guest's
// imports read and write.
type call struct {
	env         *abi.Environment
	operation   string
	payload     [][]byte
	payloadSize int
	output      [2]lineBuffer

	responded bool
	response  []byte
	failed    bool
	// guestError is what the guest reported, if failed.
	guestError string

	hostCalls    int64
	hostResponse []byte
	hostError    []byte
}

func callOf(i *engine.Instance) *call { return i.State().(*call) }

// errOutOfBounds ends an evaluation whose guest gave an address outside its
// memory.
func errOutOfBounds(what string, offset, length uint32) error {
	return fmt.Errorf("%s: %d bytes at address %d are outside the guest's memory", what, length, offset)
}

// read copies a part of the guest's memory that is at most limit bytes long.
func read(i *engine.Instance, what string, offset, length uint32, limit int64) []byte {
	if int64(length) > limit {
		i.Abort(&engine.LimitError{Limit: "bytes of " + what, Value: int64(length), Max: limit})
	}
	p, ok := i.Read(offset, length)
	if !ok {
		i.Abort(errOutOfBounds(what, offset, length))
	}
	return bytes.Clone(p)
}

func write(i *engine.Instance, what string, offset uint32, p []byte) {
	if len(p) > 0 && !i.Write(offset, p) {
		i.Abort(errOutOfBounds(what, offset, uint32(len(p))))
	}
}

// guestRequest copies the operation's name and payload into the guest.
func guestRequest(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	write(i, "operation", uint32(stack[0]), []byte(c.operation))
	offset := stack[1] & 0xffffffff
	if offset+uint64(c.payloadSize) > 1<<32 {
		i.Abort(errOutOfBounds("request", uint32(offset), uint32(c.payloadSize)))
	}
	for _, part := range c.payload {
		write(i, "request", uint32(offset), part)
		offset += uint64(len(part))
	}
}

func guestResponse(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	c.response = read(i, "response", uint32(stack[0]), uint32(stack[1]), c.env.Limits.ResponseBytes)
	c.responded = true
}

func guestError(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	length := min(uint32(stack[1]), maxErrorBytes)
	c.guestError = strings.ToValidUTF8(string(read(i, "error", uint32(stack[0]), length, maxErrorBytes)), "\uFFFD")
	c.failed = true
}

// hostCall asks a host capability. It leaves 1 on the stack if that succeeded,
// 0 if not, and the answer for the guest to fetch.
func hostCall(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	c.hostResponse, c.hostError = nil, nil
	limits := &c.env.Limits
	if c.hostCalls++; c.hostCalls > limits.HostCalls {
		i.Abort(&engine.LimitError{Limit: "host calls", Value: c.hostCalls, Max: limits.HostCalls})
	}
	request := abi.HostCall{
		Binding:   name(i, "binding", stack[0], stack[1]),
		Namespace: name(i, "namespace", stack[2], stack[3]),
		Operation: name(i, "operation", stack[4], stack[5]),
		Payload:   read(i, "host call payload", uint32(stack[6]), uint32(stack[7]), limits.HostCallPayloadBytes),
	}
	response, err := c.answer(i.Context(), request)
	if err != nil {
		c.hostError = []byte(err.Error())
		stack[0] = 0
		return
	}
	c.hostResponse = response
	stack[0] = 1
}

func (c *call) answer(ctx context.Context, request abi.HostCall) ([]byte, error) {
	if c.env.Capabilities == nil {
		return nil, errors.New("Missing host callback function!") //nolint:revive,staticcheck // the text that Kubewarden's users know
	}
	response, err := c.env.Capabilities.Call(ctx, request)
	if err == nil && int64(len(response)) > c.env.Limits.HostCallPayloadBytes {
		err = &engine.LimitError{Limit: "bytes of host call response", Value: int64(len(response)), Max: c.env.Limits.HostCallPayloadBytes}
	}
	return response, err
}

func name(i *engine.Instance, what string, offset, length uint64) string {
	p := read(i, "host call "+what, uint32(offset), uint32(length), maxNameBytes)
	if !utf8.Valid(p) {
		i.Abort(fmt.Errorf("host call %s is not UTF-8", what))
	}
	return string(p)
}

func hostResponseLen(i *engine.Instance, stack []uint64) {
	stack[0] = uint64(len(callOf(i).hostResponse))
}

func hostResponse(i *engine.Instance, stack []uint64) {
	write(i, "host response", uint32(stack[0]), callOf(i).hostResponse)
}

func hostErrorLen(i *engine.Instance, stack []uint64) {
	stack[0] = uint64(len(callOf(i).hostError))
}

func hostError(i *engine.Instance, stack []uint64) {
	write(i, "host error", uint32(stack[0]), callOf(i).hostError)
}

func consoleLog(i *engine.Instance, stack []uint64) {
	c := callOf(i)
	// A line that is longer than what is kept of it is no reason to stop.
	offset, length := uint32(stack[0]), uint32(stack[1])
	if _, ok := i.Read(offset, length); !ok {
		i.Abort(errOutOfBounds("console log", offset, length))
	}
	length = uint32(min(int64(length), c.env.Limits.LogLineBytes))
	c.line(i.Context(), "console", read(i, "console log", offset, length, c.env.Limits.LogLineBytes))
}

func (c *call) line(ctx context.Context, source string, text []byte) {
	if c.env.Log != nil {
		c.env.Log.Line(ctx, source, strings.ToValidUTF8(string(text), "\uFFFD"))
	}
}

// output collects what a guest prints, for the call that is running.
func output(i *engine.Instance, fd int, p []byte) {
	c := callOf(i)
	c.output[fd-1].write(p, c.env.Limits.LogLineBytes, func(line []byte) {
		c.line(i.Context(), outputs[fd-1], line)
	})
}

// outputs are the names of what a guest prints to, by descriptor less one.
var outputs = [2]string{"stdout", "stderr"}

// flushOutput logs what a guest printed without ending the line.
func (c *call) flushOutput(ctx context.Context) {
	for n := range c.output {
		if len(c.output[n].line) > 0 {
			c.line(ctx, outputs[n], c.output[n].line)
		}
	}
}

// lineBuffer cuts what a guest prints into lines. Of a line that is too long it
// keeps the beginning.
type lineBuffer struct{ line []byte }

func (b *lineBuffer) write(p []byte, limit int64, emit func(line []byte)) {
	for len(p) > 0 {
		text, rest, ended := bytes.Cut(p, []byte("\n"))
		room := limit - int64(len(b.line))
		b.line = append(b.line, text[:min(int64(len(text)), room)]...)
		if ended {
			emit(b.line)
			b.line = b.line[:0]
		}
		p = rest
	}
}
