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

package policies_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// memoryLimitPages bounds a guest's linear memory to 64 MiB.
const memoryLimitPages = 1024

// hostCallFunc answers a guest's host calls.
type hostCallFunc func(binding, namespace, operation string, payload []byte) ([]byte, error)

// host is a minimal waPC host: one guest, one call at a time, and no limits except memory and the
// context's deadline. It only shows what the guests do, and is not a model for a server.
type host struct {
	module    api.Module
	guestCall api.Function
	hostCall  hostCallFunc

	// The data that the current call exchanges with the guest. nil means not set.
	operation, payload           []byte
	response, guestError         []byte
	hostResponse, hostErrorBytes []byte

	console        []string
	stdout, stderr bytes.Buffer
}

// errNoHostCalls is the error for host calls in tests that expect none.
var errNoHostCalls = errors.New("host calls are not offered")

// startGuest instantiates a module and runs its start functions.
func startGuest(ctx context.Context, t *testing.T, wasm []byte,
	hostCall hostCallFunc) (*host, error) {
	t.Helper()
	config := wazero.NewRuntimeConfig().WithCompilationCache(compiled).
		WithMemoryLimitPages(memoryLimitPages).WithCloseOnContextDone(true)
	runtime := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() { require.NoError(t, runtime.Close(context.Background())) })

	h := &host{hostCall: hostCall}
	require.NoError(t, h.instantiateImports(ctx, runtime))
	code, err := runtime.CompileModule(ctx, wasm)
	require.NoError(t, err)

	instance := wazero.NewModuleConfig().WithStartFunctions().WithStdout(&h.stdout).
		WithStderr(&h.stderr)
	if h.module, err = runtime.InstantiateModule(ctx, code, instance); err != nil {
		return nil, err
	}
	// Kubewarden's host calls these functions. waPC's own host also calls _initialize.
	for _, name := range []string{"_start", "wapc_init"} {
		start := h.module.ExportedFunction(name)
		if start == nil {
			continue
		}
		var exit *sys.ExitError
		_, err := start.Call(ctx)
		if errors.As(err, &exit) && exit.ExitCode() == 0 {
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	h.guestCall = h.module.ExportedFunction("__guest_call")
	return h, nil
}

func (h *host) instantiateImports(ctx context.Context, runtime wazero.Runtime) error {
	wasi := runtime.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(wasi)
	// Unlike wazero's own function, this one keeps the instance open, as waPC hosts do for guests
	// whose _start exits.
	wasi.NewFunctionBuilder().
		WithFunc(func(code uint32) { panic(sys.NewExitError(code)) }).Export("proc_exit")
	if _, err := wasi.Instantiate(ctx); err != nil {
		return err
	}

	builder := runtime.NewHostModuleBuilder("wapc")
	export := func(name string, function any) {
		builder.NewFunctionBuilder().WithFunc(function).Export(name)
	}
	export("__guest_request", func(operation, payload uint32) {
		h.write(operation, h.operation)
		h.write(payload, h.payload)
	})
	export("__guest_response", func(ptr, length uint32) { h.response = h.read(ptr, length) })
	export("__guest_error", func(ptr, length uint32) { h.guestError = h.read(ptr, length) })
	export("__host_call", h.onHostCall)
	export("__host_response_len", func() uint32 { return uint32(len(h.hostResponse)) })
	export("__host_response", func(ptr uint32) { h.write(ptr, h.hostResponse) })
	export("__host_error_len", func() uint32 { return uint32(len(h.hostErrorBytes)) })
	export("__host_error", func(ptr uint32) { h.write(ptr, h.hostErrorBytes) })
	export("__console_log", func(ptr, length uint32) {
		h.console = append(h.console, string(h.read(ptr, length)))
	})
	_, err := builder.Instantiate(ctx)
	return err
}

func (h *host) onHostCall(bindingPtr, bindingLen, namespacePtr, namespaceLen,
	operationPtr, operationLen, payloadPtr, payloadLen uint32) uint32 {
	h.hostResponse, h.hostErrorBytes = nil, nil
	response, err := h.hostCall(
		string(h.read(bindingPtr, bindingLen)),
		string(h.read(namespacePtr, namespaceLen)),
		string(h.read(operationPtr, operationLen)),
		h.read(payloadPtr, payloadLen))
	if err != nil {
		h.hostErrorBytes = []byte(err.Error())
		return 0
	}
	h.hostResponse = response
	return 1
}

// read copies a range of the guest's memory. If the range is out of bounds, it panics, which wazero
// turns into a trap.
func (h *host) read(ptr, length uint32) []byte {
	view, ok := h.module.Memory().Read(ptr, length)
	if !ok {
		panic(fmt.Errorf("range of %d bytes at %d is out of bounds", length, ptr))
	}
	return append([]byte{}, view...)
}

func (h *host) write(ptr uint32, content []byte) {
	if !h.module.Memory().Write(ptr, content) {
		panic(fmt.Errorf("range of %d bytes at %d is out of bounds", len(content), ptr))
	}
}

// call runs one operation and returns the guest's response.
func (h *host) call(ctx context.Context, operation string, payload []byte) ([]byte, error) {
	h.operation, h.payload = []byte(operation), payload
	h.response, h.guestError = nil, nil
	results, err := h.guestCall.Call(ctx, uint64(len(operation)), uint64(len(payload)))
	switch {
	case err != nil:
		return nil, err
	case results[0] != 0 && h.response != nil:
		return h.response, nil
	case h.guestError != nil:
		return nil, fmt.Errorf("guest error: %s", h.guestError)
	default:
		return nil, errors.New("neither a response nor an error")
	}
}
