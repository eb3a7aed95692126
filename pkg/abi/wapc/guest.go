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

// Package wapc runs guests by the waPC convention (https://wapc.io/docs/spec). The host calls
// __guest_call with the sizes of an operation's name and payload. The guest fetches both, and
// answers before it returns. Kubewarden uses this convention for Rust, Go, TinyGo, AssemblyScript,
// Swift and C#.
package wapc

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The operations of a Kubewarden policy.
const (
	operationValidate         = "validate"
	operationValidateSettings = "validate_settings"
	operationProtocolVersion  = "protocol_version"
)

// guestCall is the only export that a waPC guest must have.
const guestCall = "__guest_call"

// nameOfValidate is the operation's name as bytes, which the guest copies in each evaluation.
var nameOfValidate = []byte(operationValidate)

// The JSON around a request and settings in the payload of an evaluation.
var beforeRequest, beforeSettings, afterSettings = []byte(`{"request":`), []byte(`,"settings":`),
	[]byte(`}`)

// Guest is a waPC policy. It implements [abi.Guest].
type Guest struct{ module *engine.Module }

var _ abi.Guest = &Guest{}

// Load compiles a waPC policy. Policies with the same binary share code.
func Load(ctx context.Context, e *engine.Engine, wasm []byte) (*Guest, error) {
	module, err := e.Load(ctx, wasm, convention)
	if err != nil {
		return nil, err
	}
	return &Guest{module: module}, nil
}

// Validate implements [abi.Guest].
func (g *Guest) Validate(ctx context.Context, env *abi.Environment, request,
	settings []byte) (*abi.ValidationResponse, abi.Usage, error) {
	c := &call{
		env:       env,
		operation: operationValidate,
		parts:     [...][]byte{beforeRequest, request, beforeSettings, settings, afterSettings},
	}
	c.payload = c.parts[:]
	answer, usage, err := g.run(ctx, c)
	if err != nil {
		return nil, usage, c.hostCalls.Explain(err)
	}
	response, err := abi.DecodeValidationResponse(answer)
	return response, usage, c.hostCalls.Explain(err)
}

// ValidateSettings implements [abi.Guest].
func (g *Guest) ValidateSettings(ctx context.Context, env *abi.Environment,
	settings []byte) (*abi.SettingsValidationResponse, error) {
	response, _, err := g.invoke(ctx, env, operationValidateSettings, settings)
	if err != nil {
		return nil, err
	}
	return abi.DecodeSettingsValidationResponse(response)
}

// ProtocolVersion implements [abi.Guest].
func (g *Guest) ProtocolVersion(ctx context.Context, env *abi.Environment) (string, error) {
	response, _, err := g.invoke(ctx, env, operationProtocolVersion)
	if err != nil {
		return "", err
	}
	var version string
	if err := json.Unmarshal(response, &version); err != nil {
		return "", &abi.ResponseError{Err: err}
	}
	return version, nil
}

// Close implements [abi.Guest].
func (g *Guest) Close() { g.module.Close() }

// invoke runs one operation of the guest. It returns the response and the resources used.
func (g *Guest) invoke(ctx context.Context, env *abi.Environment, operation string,
	payload ...[]byte) ([]byte, abi.Usage, error) {
	return g.run(ctx, &call{env: env, operation: operation, payload: payload})
}

func (g *Guest) run(ctx context.Context, c *call) (_ []byte, usage abi.Usage, err error) {
	c.payloadSize, err = guestio.RequestSize(g.module, c.env, c.operation, c.payload)
	if err != nil {
		return nil, abi.Usage{}, err
	}
	instance, err := g.module.Acquire(ctx, engine.Evaluation{State: c, Timeout: c.env.Timeout})
	if err != nil {
		return nil, abi.Usage{}, fmt.Errorf("initialization failed: %w", err)
	}
	defer func() { usage = abi.Usage(instance.Release()) }()
	ok, err := instance.Call(guestCall, uint64(len(c.operation)), uint64(c.payloadSize))
	c.flushOutput(ctx)
	if err != nil {
		return nil, usage, err
	}
	response, err := c.outcome(uint32(ok) != 0)
	return response, usage, err
}

// outcome returns an operation's result. It combines the result of __guest_call with the response
// or error that the guest set before.
func (c *call) outcome(ok bool) ([]byte, error) {
	switch {
	case ok && c.responded:
		return c.response, nil
	case c.failed:
		return nil, &abi.GuestError{Text: c.guestError}
	case ok:
		return nil, errNoAnswer
	default:
		return nil, errNoError
	}
}

var (
	errNoAnswer = &abi.GuestError{Text: "No error message OR response set for call success"}
	errNoError  = &abi.GuestError{Text: "No error message set for call failure"}
)
