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
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/wasm-admission/wasm-admission/test/counting"
)

// host is plain wazero with one instance of a module, and the minimal host that guests need. Its
// clock and its random numbers are the same in every run.
type host struct {
	runtime wazero.Runtime
	guest   api.Module
	ticks   int64

	// operation and payload are passed to the guest. request, response and failure come from the
	// guest.
	operation, payload []byte
	response, failure  []byte
	// input is the standard input of a program.
	input          bytes.Buffer
	output, errors bytes.Buffer
}

// portion is the fuel that each tick grants.
const portion = 1 << 50

// namespace is the response to every host call.
const namespace = `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"owner":"ann"}}}`

// features are all features that the rewriter accepts.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesTypedFunctionReferences

// newHost instantiates a module, and runs its start functions unless it is a program.
func newHost(ctx context.Context, module []byte, m mode) (*host, error) {
	h := &host{
		runtime: wazero.NewRuntimeWithConfig(ctx,
			wazero.NewRuntimeConfig().WithCoreFeatures(features)),
	}
	if err := h.instantiate(ctx, module, m == program); err != nil {
		return nil, errors.Join(err, h.runtime.Close(ctx))
	}
	return h, nil
}

func (h *host) instantiate(ctx context.Context, module []byte, command bool) error {
	wasi := h.runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(wasi)
	wasi.NewFunctionBuilder().WithFunc(func(code uint32) { panic(sys.NewExitError(code)) }).
		Export("proc_exit")
	if _, err := wasi.Instantiate(ctx); err != nil {
		return err
	}
	if err := errors.Join(h.buildWaPC(ctx), h.buildOther(ctx)); err != nil {
		return err
	}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithArgs("policy.wasm", operation).
		WithStdin(&h.input).WithStdout(&h.output).WithStderr(&h.errors)
	var err error
	if h.guest, err = h.runtime.InstantiateWithConfig(ctx, module, config); err != nil || command {
		return err
	}
	for _, name := range []string{"_initialize", "_start", "wapc_init"} {
		if start := h.guest.ExportedFunction(name); start != nil {
			if _, err := start.Call(ctx); ended(err) != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// ended returns nil for the error with which a program exits successfully.
func ended(err error) error {
	var exit *sys.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0 {
		return nil
	}
	return err
}

func (h *host) buildWaPC(ctx context.Context) error {
	builder := h.runtime.NewHostModuleBuilder("wapc")
	export := func(name string, function any) {
		builder.NewFunctionBuilder().WithFunc(function).Export(name)
	}
	export("__guest_request", func(_ context.Context, m api.Module, operation, payload uint32) {
		m.Memory().Write(operation, h.operation)
		m.Memory().Write(payload, h.payload)
	})
	export("__guest_response", func(_ context.Context, m api.Module, start, length uint32) {
		h.response = read(m, start, length)
	})
	export("__guest_error", func(_ context.Context, m api.Module, start, length uint32) {
		h.failure = read(m, start, length)
	})
	export("__host_call", func(_, _, _, _, _, _, _, _ uint32) uint32 { return 1 })
	export("__host_response_len", func() uint32 { return uint32(len(namespace)) })
	export("__host_response", func(_ context.Context, m api.Module, start uint32) {
		m.Memory().WriteString(start, namespace)
	})
	export("__host_error_len", func() uint32 { return 0 })
	export("__host_error", func(_ uint32) {})
	export("__console_log", func(_, _ uint32) {})
	_, err := builder.Instantiate(ctx)
	return err
}

// buildOther provides the imports of programs and of Rego guests, and the tick.
func (h *host) buildOther(ctx context.Context) error {
	_, err := h.runtime.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithFunc(func(_, _, _, _, _, _, _, _ uint32) uint32 {
			h.input.WriteString(namespace)
			return 0
		}).Export("call").Instantiate(ctx)
	if err != nil {
		return err
	}
	builder := h.runtime.NewHostModuleBuilder("env")
	export := func(name string, function any) {
		builder.NewFunctionBuilder().WithFunc(function).Export(name)
	}
	export("opa_abort", func(_ context.Context, m api.Module, start uint32) {
		panic(errors.New("aborted"))
	})
	export("opa_println", func(_ uint32) {})
	export("opa_builtin0", func(_, _ uint32) uint32 { return 0 })
	export("opa_builtin1", func(_, _, _ uint32) uint32 { return 0 })
	export("opa_builtin2", func(_, _, _, _ uint32) uint32 { return 0 })
	export("opa_builtin3", func(_, _, _, _, _ uint32) uint32 { return 0 })
	export("opa_builtin4", func(_, _, _, _, _, _ uint32) uint32 { return 0 })
	if _, err := builder.Instantiate(ctx); err != nil {
		return err
	}
	_, err = h.runtime.NewHostModuleBuilder(rewriteOptions.TickModule).NewFunctionBuilder().
		WithFunc(func(_ context.Context, m api.Module) {
			h.ticks++
			fuel := m.ExportedGlobal(rewriteOptions.ExportPrefix + "fuel").(api.MutableGlobal)
			fuel.Set(fuel.Get() + portion)
		}).Export(rewriteOptions.TickName).Instantiate(ctx)
	return err
}

// units returns the fuel that the guest has used, or the instructions that it has executed.
func (h *host) units() int64 {
	if counter := h.guest.ExportedGlobal(counting.Export); counter != nil {
		return int64(counter.Get())
	}
	return h.ticks*portion - int64(h.guest.ExportedGlobal(rewriteOptions.ExportPrefix+"fuel").Get())
}

// validate makes the guest evaluate a request.
func (h *host) validate(ctx context.Context, g *guest, request string) error {
	switch g.mode {
	case program:
		return h.program(ctx, request, g.settings)
	case opa:
		return h.query(ctx, `{"request":`+request+`}`, g.settings)
	case gatekeeper:
		return h.query(ctx, `{"review":`+request+`,"parameters":`+g.settings+`}`, `{}`)
	}
	return h.guestCall(ctx, request, g.settings)
}

func read(m api.Module, start, length uint32) []byte {
	view, _ := m.Memory().Read(start, length)
	return bytes.Clone(view)
}

// guestCall evaluates a request with a waPC guest.
func (h *host) guestCall(ctx context.Context, request, settings string) error {
	h.operation, h.payload = []byte(operation),
		[]byte(`{"request":`+request+`,"settings":`+settings+`}`)
	h.response, h.failure = nil, nil
	results, err := h.guest.ExportedFunction("__guest_call").Call(ctx, uint64(len(h.operation)),
		uint64(len(h.payload)))
	if err == nil && results[0] != 1 {
		err = fmt.Errorf("guest failed: %s", h.failure)
	}
	return err
}

// program evaluates a request with a program.
func (h *host) program(ctx context.Context, request, settings string) error {
	h.input.WriteString(`{"request":` + request + `,"settings":` + settings + `}`)
	_, err := h.guest.ExportedFunction("_start").Call(ctx)
	h.response = h.output.Bytes()
	if err = ended(err); err != nil {
		err = fmt.Errorf("%w: %s", err, h.errors.Bytes())
	}
	return err
}

// query evaluates a request with a Rego guest. Host functions are undefined.
func (h *host) query(ctx context.Context, input, data string) (err error) {
	call := func(name string, params ...uint64) uint64 {
		if err != nil {
			return 0
		}
		var results []uint64
		if results, err = h.guest.ExportedFunction(name).Call(ctx, params...); len(results) == 0 {
			return 0
		}
		return results[0]
	}
	parse := func(document string) uint64 {
		start := call("opa_malloc", uint64(len(document)))
		h.guest.Memory().WriteString(uint32(start), document)
		return call("opa_json_parse", start, uint64(len(document)))
	}
	state := call("opa_eval_ctx_new")
	call("opa_eval_ctx_set_data", state, parse(data))
	call("opa_eval_ctx_set_input", state, parse(input))
	call("opa_eval_ctx_set_entrypoint", state, 0)
	call("eval", state)
	start := uint32(call("opa_json_dump", call("opa_eval_ctx_get_result", state)))
	text, _ := h.guest.Memory().Read(start, h.guest.Memory().Size()-start)
	h.response, _, _ = bytes.Cut(bytes.Clone(text), []byte{0})
	return err
}
