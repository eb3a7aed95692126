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
	"errors"
	"fmt"
	"slices"

	"github.com/bytecodealliance/wasmtime-go/v39"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// fresh runs a waPC guest in wasmtime, on a new instance for each evaluation. Like Kubewarden's
// policy-server, it uses epochs for deadlines.
type fresh struct {
	engine *wasmtime.Engine
	module *wasmtime.Module
	linker *wasmtime.Linker

	payload  []byte
	response []byte
	failure  string
}

const operation = "validate"

func newFresh(wasm []byte) (*fresh, error) {
	config := wasmtime.NewConfig()
	config.SetEpochInterruption(true)
	f := &fresh{engine: wasmtime.NewEngineWithConfig(config)}
	var err error
	if f.module, err = wasmtime.NewModule(f.engine, wasm); err != nil {
		return nil, err
	}
	f.linker = wasmtime.NewLinker(f.engine)
	if err := f.linker.DefineWasi(); err != nil {
		return nil, err
	}
	return f, f.defineHost()
}

// defineHost provides the waPC imports. No guest here makes host calls.
func (f *fresh) defineHost() error {
	define := func(name string, params, results int, call func(memory []byte, args []int32)) error {
		i32 := wasmtime.NewValType(wasmtime.KindI32)
		ft := wasmtime.NewFuncType(slices.Repeat([]*wasmtime.ValType{i32}, params),
			slices.Repeat([]*wasmtime.ValType{i32}, results))
		return f.linker.FuncNew("wapc", name, ft,
			func(c *wasmtime.Caller, vals []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
				args := make([]int32, len(vals))
				for n, v := range vals {
					args[n] = v.I32()
				}
				call(c.GetExport("memory").Memory().UnsafeData(c), args)
				return slices.Repeat([]wasmtime.Val{wasmtime.ValI32(0)}, results), nil
			})
	}
	nothing := func([]byte, []int32) {}
	return errors.Join(
		define("__guest_request", 2, 0, func(memory []byte, args []int32) {
			copy(memory[args[0]:], operation)
			copy(memory[args[1]:], f.payload)
		}),
		define("__guest_response", 2, 0, func(memory []byte, args []int32) {
			f.response = slices.Clone(memory[args[0] : args[0]+args[1]])
		}),
		define("__guest_error", 2, 0, func(memory []byte, args []int32) {
			f.failure = string(memory[args[0] : args[0]+args[1]])
		}),
		define("__host_call", 8, 1, nothing),
		define("__host_response_len", 0, 1, nothing),
		define("__host_response", 1, 0, nothing),
		define("__host_error_len", 0, 1, nothing),
		define("__host_error", 1, 0, nothing),
		define("__console_log", 2, 0, nothing),
	)
}

func (f *fresh) validate(request, settings []byte) (*abi.ValidationResponse, error) {
	f.payload = slices.Concat([]byte(`{"request":`), request, []byte(`,"settings":`), settings,
		[]byte(`}`))
	f.response, f.failure = nil, ""
	store := wasmtime.NewStore(f.engine)
	defer store.Close()
	store.SetWasi(wasmtime.NewWasiConfig())
	store.SetEpochDeadline(1)
	instance, err := f.linker.Instantiate(store, f.module)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"_start", "_initialize", "wapc_init"} {
		start := instance.GetFunc(store, name)
		if start == nil {
			continue
		}
		if _, err := start.Call(store); err != nil {
			if exit := (*wasmtime.Error)(nil); errors.As(err, &exit) {
				if status, exited := exit.ExitStatus(); exited && status == 0 {
					continue
				}
			}
			return nil, err
		}
	}
	ok, err := instance.GetFunc(store, "__guest_call").Call(store, int32(len(operation)),
		int32(len(f.payload)))
	if err != nil {
		return nil, err
	}
	if ok != int32(1) {
		return nil, fmt.Errorf("guest failed: %s", f.failure)
	}
	return abi.DecodeValidationResponse(f.response)
}
