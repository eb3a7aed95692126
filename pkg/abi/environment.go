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

package abi

import (
	"context"
	"time"
)

// Environment holds what a policy's guest uses while it runs. All evaluations of the policy share
// it. It is safe for concurrent use.
type Environment struct {
	// Capabilities answers the guest's host calls.
	Capabilities Capabilities
	// Inventory provides cluster data to guests that cannot make host calls. It is nil if the
	// policy may read nothing.
	Inventory Inventory
	// Log receives the lines that the guest prints.
	Log Log
	// Limits bounds the data exchanged with the guest.
	Limits Limits
	// Timeout bounds the wall-clock time of one evaluation.
	Timeout time.Duration
}

// Limits bounds the data that guest and host exchange in one evaluation. All fields must be
// positive.
type Limits struct {
	// RequestBytes is the size limit of the payload for a guest.
	RequestBytes int64
	// ResponseBytes is the size limit of a guest's response.
	ResponseBytes int64
	// HostCallPayloadBytes is the size limit of a host call's payload, in either direction.
	HostCallPayloadBytes int64
	// HostCalls limits the number of host calls in one evaluation.
	HostCalls int64
	// LogLineBytes is the number of bytes kept of each line that a guest prints.
	LogLineBytes int64
}

// LimitRequestBytes is the name of the limit [Limits.RequestBytes] in errors. A request can exceed
// it before any guest runs.
const LimitRequestBytes = "bytes of request"

// HostCall is a guest's call of a host capability. The guest controls all of its fields.
type HostCall struct {
	Binding, Namespace, Operation string
	// Payload is valid only during the call.
	Payload []byte
}

// Capabilities answers host calls. The text of an error goes to the guest. An implementation
// belongs to one policy, is safe for concurrent use, and returns when ctx ends.
type Capabilities interface {
	Call(ctx context.Context, call HostCall) ([]byte, error)
}

// Inventory provides the cluster data that a policy may read, as one document. Guests in Rego find
// it in their data instead of asking for it. An implementation belongs to one policy, is safe for
// concurrent use, and returns when ctx ends.
type Inventory interface {
	// Inventory returns a JSON object in the shape that guests of the mode expect: data.kubernetes
	// for opa, data.inventory for gatekeeper. Each change of the cluster produces one document,
	// which all evaluations share. Callers must not modify it. Each document has a different
	// generation.
	Inventory(ctx context.Context,
		mode ExecutionMode) (document []byte, generation uint64, err error)
}

// Log receives what a guest prints, one line at a time. The source is "console", "stdout" or
// "stderr". Implementations bound how much they keep, and are safe for concurrent use.
type Log interface {
	Line(ctx context.Context, source, text string)
}

// Guest runs the operations of one policy module. It is safe for concurrent
// use.
type Guest interface {
	// Validate evaluates an admission request. Request and settings are JSON. Validate joins them
	// into one payload without a copy. Callers must not change the settings afterwards, because a
	// guest that has read them may be kept. Usage is also valid if Validate returns an error.
	Validate(ctx context.Context, env *Environment, request,
		settings []byte) (*ValidationResponse, Usage, error)
	// ValidateSettings asks the policy whether it accepts the settings.
	ValidateSettings(ctx context.Context, env *Environment,
		settings []byte) (*SettingsValidationResponse, error)
	// ProtocolVersion asks the guest for its version of the protocol.
	ProtocolVersion(ctx context.Context, env *Environment) (string, error)
	// Close frees the module. The caller must ensure that no operation is running.
	Close()
}

// Usage reports the resources that an evaluation consumed.
type Usage struct {
	// Fuel is the fuel that the guest burned: 1 to 2.5 units for each instruction. It is the same
	// on every machine.
	Fuel int64
	// MemoryBytes is the final size of the guest's linear memory.
	MemoryBytes int64
	// Wait is the time that the evaluation waited for an instance. It is zero if an instance was
	// free.
	Wait time.Duration
	// Reset is the time that the reset of the instance to its pristine state took.
	Reset time.Duration
}

// Add adds the usage of another evaluation.
func (u *Usage) Add(other Usage) {
	u.Fuel += other.Fuel
	u.MemoryBytes += other.MemoryBytes
	u.Wait += other.Wait
	u.Reset += other.Reset
}

// ShortageError says that a host call failed for a reason outside the policy: a resource that all
// policies share was exhausted, the call waited too long for it, or a server that a client named
// did not answer as needed. If an evaluation fails after a shortage, the policy does not count as
// broken.
type ShortageError struct {
	// Err says what ran short, or how the call failed.
	Err error
}

// Error implements the error interface.
func (e *ShortageError) Error() string { return e.Err.Error() }

// Unwrap returns the underlying error.
func (e *ShortageError) Unwrap() error { return e.Err }

// GuestError is an error that the guest itself reported.
type GuestError struct {
	// Text is the guest's error message.
	Text string
	// End says how a WASI command ended: with a nonzero status, or by a trap. Text then stands
	// alone in the error message. End is nil if the guest answered with an error.
	End error
}

// Error returns the text that Kubewarden's users know. For a program that ended without printing an
// error, it says how the program ended.
func (e *GuestError) Error() string {
	switch {
	case e.End == nil:
		return "Guest call failure: " + e.Text
	case e.Text == "":
		return e.End.Error()
	}
	return e.Text
}

// Unwrap returns End.
func (e *GuestError) Unwrap() error { return e.End }

// ResponseError says that a guest's answer is not a valid response.
type ResponseError struct {
	// Err says what is wrong with the answer.
	Err error
	// Expected names the expected response, for guests that are programs. Kubewarden words the
	// errors of these guests differently.
	Expected string
}

// The values of [ResponseError.Expected].
const (
	ExpectedValidation         = "policy validation response"
	ExpectedSettingsValidation = "settings validation response"
)

// Error returns the text that Kubewarden's users know.
func (e *ResponseError) Error() string {
	if e.Expected != "" {
		return "Cannot deserialize " + e.Expected + ": " + e.Err.Error()
	}
	return "invalid response from policy: " + e.Err.Error()
}

// Unwrap returns the underlying error.
func (e *ResponseError) Unwrap() error { return e.Err }
