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

// Package wasi runs guests that are WASI commands (preview 1). Such a program finds the operation
// in its arguments and the payload on its standard input. It prints the answer to its standard
// output. Kubewarden uses this execution mode for the official Go compiler and for JavaScript
// (Javy).
package wasi

import (
	"context"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Guest is a WASI policy. It implements [abi.Guest].
type Guest struct{ module *engine.Module }

var _ abi.Guest = &Guest{}

// Load compiles a WASI policy. Policies with the same binary share code.
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
	r := &run{env: env}
	answer, usage, err := g.evaluate(ctx, r, operationValidate,
		[]byte(`{"request":`), request, []byte(`,"settings":`), settings, []byte(`}`))
	if err != nil {
		return nil, usage, r.hostCalls.Explain(err)
	}
	response, err := abi.DecodeValidationResponse(answer)
	return response, usage, r.hostCalls.Explain(expected(abi.ExpectedValidation, err))
}

// ValidateSettings implements [abi.Guest].
func (g *Guest) ValidateSettings(ctx context.Context, env *abi.Environment,
	settings []byte) (*abi.SettingsValidationResponse, error) {
	answer, _, err := g.run(ctx, env, operationValidateSettings, settings)
	if err != nil {
		return nil, err
	}
	response, err := abi.DecodeSettingsValidationResponse(answer)
	return response, expected(abi.ExpectedSettingsValidation, err)
}

// ProtocolVersion implements [abi.Guest]. It always fails, because a program cannot be asked.
func (g *Guest) ProtocolVersion(context.Context, *abi.Environment) (string, error) {
	return "", errors.New("protocol_version is only applicable to a Kubewarden policy")
}

// Close implements [abi.Guest].
func (g *Guest) Close() { g.module.Close() }

// run runs the program. It returns the output and the resources used.
func (g *Guest) run(ctx context.Context, env *abi.Environment, operation string,
	payload ...[]byte) ([]byte, abi.Usage, error) {
	return g.evaluate(ctx, &run{env: env}, operation, payload...)
}

func (g *Guest) evaluate(ctx context.Context, r *run, operation string,
	payload ...[]byte) (_ []byte, usage abi.Usage, _ error) {
	if _, err := guestio.RequestSize(g.module, r.env, operation, payload); err != nil {
		return nil, abi.Usage{}, err
	}
	r.feed(payload...)
	instance, err := g.module.Acquire(ctx, engine.Evaluation{State: r, Timeout: r.env.Timeout})
	if err != nil {
		return nil, abi.Usage{}, fmt.Errorf("initialization failed: %w", err)
	}
	defer func() { usage = abi.Usage(instance.Release()) }()
	err = instance.Run(program, operation)
	answer, err := r.outcome(ctx, err)
	return answer, usage, err
}

// expected adds the kind of the expected response to a response error.
func expected(kind string, err error) error {
	if r := (*abi.ResponseError)(nil); errors.As(err, &r) {
		return &abi.ResponseError{Err: r.Err, Expected: kind}
	}
	return err
}
