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

// Environment is what a policy has around it while its guest runs. It is the
// same for all evaluations of the policy, and safe for concurrent use.
type Environment struct {
	// Capabilities answers the guest's host calls.
	Capabilities Capabilities
	// Inventory is what a guest that cannot make host calls is given of the cluster; nil
	// if the policy may read nothing.
	Inventory Inventory
	// Log gets the lines that the guest prints.
	Log Log
	// Limits bounds what crosses the border.
	Limits Limits
	// Timeout bounds an evaluation's wall-clock time.
	Timeout time.Duration
}

// Limits bounds what crosses the border between guest and host in one
// evaluation. All of them must be positive.
type Limits struct {
	// RequestBytes is the largest payload that is handed to a guest.
	RequestBytes int64
	// ResponseBytes is the largest response that is taken from a guest.
	ResponseBytes int64
	// HostCallPayloadBytes is the largest payload of a host call, in either
	// direction.
	HostCallPayloadBytes int64
	// HostCalls is how many host calls an evaluation may make.
	HostCalls int64
	// LogLineBytes is how much of a line that a guest prints is kept.
	LogLineBytes int64
}

// LimitRequestBytes is what errors call the limit [Limits.RequestBytes]. It is the one
// that is exceeded before the guest is asked.
const LimitRequestBytes = "bytes of request"

// HostCall is a guest's call of a host capability. All of it is the guest's
// word.
type HostCall struct {
	Binding, Namespace, Operation string
	// Payload is valid during the call only.
	Payload []byte
}

// Capabilities answers host calls. An error's text goes to the guest.
// Implementations are bound to one policy and safe for concurrent use; they
// return when ctx ends.
type Capabilities interface {
	Call(ctx context.Context, call HostCall) ([]byte, error)
}

// Inventory is what a policy may read of the cluster, as one document. It is for guests
// in Rego, which have it in their data instead of asking for it. Implementations are
// bound to one policy and safe for concurrent use; they return when ctx ends.
type Inventory interface {
	// Inventory returns a JSON object in the shape that guests of the mode expect:
	// data.kubernetes of opa, data.inventory of gatekeeper. It is built once for each
	// change of the cluster and shared: it must not be changed. The generation is another
	// for each document.
	Inventory(ctx context.Context, mode ExecutionMode) (document []byte, generation uint64, err error)
}

// Log gets what a guest prints, a line at a time. Source says by which way it
// came: "console", "stdout" or "stderr". Implementations bound how much they
// keep, and are safe for concurrent use.
type Log interface {
	Line(ctx context.Context, source, text string)
}

// Guest runs the operations of one policy module. It is safe for concurrent
// use.
type Guest interface {
	// Validate evaluates an admission request. Request and settings are JSON;
	// they are spliced into one payload and not copied before. Settings must not
	// be changed afterwards: a guest may be kept that has read them. What was used
	// up is told of failures too.
	Validate(ctx context.Context, env *Environment, request, settings []byte) (*ValidationResponse, Usage, error)
	// ValidateSettings asks the policy whether it can work with the settings.
	ValidateSettings(ctx context.Context, env *Environment, settings []byte) (*SettingsValidationResponse, error)
	// ProtocolVersion asks the guest which version of the protocol it speaks.
	ProtocolVersion(ctx context.Context, env *Environment) (string, error)
	// Close frees the module. No operation may be running.
	Close()
}

// Usage is what an evaluation used up.
type Usage struct {
	// Fuel is what the guest burnt, one to two and a half units for each instruction. It is the
	// same on every machine.
	Fuel int64
	// MemoryBytes is the size of the guest's linear memory at the end.
	MemoryBytes int64
	// Wait is how long it waited for an instance of the guest, zero if it found one.
	Wait time.Duration
	// Reset is how long it took to bring the instance back to its pristine state.
	Reset time.Duration
}

// Add counts another evaluation in.
func (u *Usage) Add(other Usage) {
	u.Fuel += other.Fuel
	u.MemoryBytes += other.MemoryBytes
	u.Wait += other.Wait
	u.Reset += other.Reset
}

// ShortageError says that a host call could not be answered because of what is short for
// all policies, or had to wait too long for it, or because of what a client named and others
// say of it. An evaluation that fails after it does not
// make the policy look broken.
type ShortageError struct {
	// Err says what is short, or what came of the call.
	Err error
}

// Error implements the error interface.
func (e *ShortageError) Error() string { return e.Err.Error() }

// Unwrap returns the error underneath.
func (e *ShortageError) Unwrap() error { return e.Err }

// GuestError is an error that a guest reported of its own accord.
type GuestError struct {
	// Text is what the guest said.
	Text string
	// End is how a guest ended that is a program: with a status other than zero, or by a
	// trap. What it said stands for itself then. Nil if the guest answered with an error.
	End error
}

// Error implements the error interface with the text that Kubewarden's users
// know. Of a program that ended without a word it says how it ended.
func (e *GuestError) Error() string {
	switch {
	case e.End == nil:
		return "Guest call failure: " + e.Text
	case e.Text == "":
		return e.End.Error()
	}
	return e.Text
}

// Unwrap returns how the guest ended.
func (e *GuestError) Unwrap() error { return e.End }

// ResponseError says that a guest answered something that is no response.
type ResponseError struct {
	// Err says what is wrong with it.
	Err error
	// Expected is what it should have been, for guests that are programs. Kubewarden has
	// another text for these.
	Expected string
}

// What a program's answer should have been.
const (
	ExpectedValidation         = "policy validation response"
	ExpectedSettingsValidation = "settings validation response"
)

// Error implements the error interface with the text that Kubewarden's users
// know.
func (e *ResponseError) Error() string {
	if e.Expected != "" {
		return "Cannot deserialize " + e.Expected + ": " + e.Err.Error()
	}
	return "invalid response from policy: " + e.Err.Error()
}

// Unwrap returns the error underneath.
func (e *ResponseError) Unwrap() error { return e.Err }
