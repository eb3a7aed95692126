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

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// plain is the base of the comparison: plain wazero with one instance of the original module. It
// reuses the instance without resets, fuel, or deadlines. It copies the same data in and out as the
// engine's host functions.
type plain struct {
	runtime   wazero.Runtime
	guestCall api.Function

	payload  [][]byte
	size     int
	response []byte
	failure  string
}

const operation = "validate"

func newPlain(ctx context.Context, wasm []byte) (*plain, error) {
	p := &plain{runtime: wazero.NewRuntime(ctx)}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, p.runtime); err != nil {
		return nil, errors.Join(err, p.runtime.Close(ctx))
	}
	if err := errors.Join(p.buildHost(ctx), p.buildTick(ctx)); err != nil {
		return nil, errors.Join(err, p.runtime.Close(ctx))
	}
	guest, err := p.runtime.InstantiateWithConfig(ctx, wasm,
		wazero.NewModuleConfig().WithStartFunctions("_start", "_initialize", "wapc_init"))
	if err != nil {
		return nil, errors.Join(err, p.runtime.Close(ctx))
	}
	p.guestCall = guest.ExportedFunction("__guest_call")
	return p, nil
}

// buildHost provides the waPC imports. No guest here makes host calls.
func (p *plain) buildHost(ctx context.Context) error {
	builder := p.runtime.NewHostModuleBuilder("wapc")
	export := func(name string, params, results int, f api.GoModuleFunc) {
		types := bytes.Repeat([]byte{api.ValueTypeI32}, params+results)
		builder.NewFunctionBuilder().WithGoModuleFunction(f, types[:params], types[params:]).
			Export(name)
	}
	export("__guest_request", 2, 0, func(_ context.Context, m api.Module, stack []uint64) {
		m.Memory().WriteString(uint32(stack[0]), operation)
		offset := uint32(stack[1])
		for _, part := range p.payload {
			m.Memory().Write(offset, part)
			offset += uint32(len(part))
		}
	})
	export("__guest_response", 2, 0, func(_ context.Context, m api.Module, stack []uint64) {
		response, _ := m.Memory().Read(uint32(stack[0]), uint32(stack[1]))
		p.response = bytes.Clone(response)
	})
	export("__guest_error", 2, 0, func(_ context.Context, m api.Module, stack []uint64) {
		text, _ := m.Memory().Read(uint32(stack[0]), uint32(stack[1]))
		p.failure = string(text)
	})
	nothing := func(_ context.Context, _ api.Module, stack []uint64) {
		if len(stack) > 0 {
			stack[0] = 0
		}
	}
	export("__host_call", 8, 1, nothing)
	export("__host_response_len", 0, 1, nothing)
	export("__host_response", 1, 0, nothing)
	export("__host_error_len", 0, 1, nothing)
	export("__host_error", 1, 0, nothing)
	export("__console_log", 2, 0, nothing)
	_, err := builder.Instantiate(ctx)
	return err
}

// buildTick provides the imports of metered modules. The function only refills the fuel.
func (p *plain) buildTick(ctx context.Context) error {
	refill := func(_ context.Context, m api.Module, _ []uint64) {
		m.ExportedGlobal(rewriteOptions.ExportPrefix + "fuel").(api.MutableGlobal).Set(1 << 60)
	}
	_, err := p.runtime.NewHostModuleBuilder(rewriteOptions.TickModule).
		NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(refill), nil, nil).
		Export(rewriteOptions.TickName).
		Instantiate(ctx)
	return err
}

func (p *plain) validate(ctx context.Context, request,
	settings []byte) (*abi.ValidationResponse, error) {
	p.payload = [][]byte{
		[]byte(`{"request":`),
		request,
		[]byte(`,"settings":`),
		settings,
		[]byte(`}`),
	}
	p.size, p.response, p.failure = 0, nil, ""
	for _, part := range p.payload {
		p.size += len(part)
	}
	results, err := p.guestCall.Call(ctx, uint64(len(operation)), uint64(p.size))
	if err != nil {
		return nil, err
	}
	if results[0] != 1 {
		return nil, fmt.Errorf("guest failed: %s", p.failure)
	}
	return abi.DecodeValidationResponse(p.response)
}
