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

package rego

import (
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The exports of a guest.
const (
	exportBuiltins      = "builtins"
	exportEntrypoints   = "entrypoints"
	exportMalloc        = "opa_malloc"
	exportJSONParse     = "opa_json_parse"
	exportJSONDump      = "opa_json_dump"
	exportValueParse    = "opa_value_parse"
	exportValueDump     = "opa_value_dump"
	exportHeapGet       = "opa_heap_ptr_get"
	exportHeapSet       = "opa_heap_ptr_set"
	exportNew           = "opa_eval_ctx_new"
	exportSetInput      = "opa_eval_ctx_set_input"
	exportSetData       = "opa_eval_ctx_set_data"
	exportSetEntrypoint = "opa_eval_ctx_set_entrypoint"
	exportGetResult     = "opa_eval_ctx_get_result"
	exportEval          = "eval"
)

// entrypoint is the number of the evaluated expression. 0 is the first entrypoint that the policy
// was compiled with.
const entrypoint = 0

// ABI returns the convention of Rego guests. Engines use it to recognize Rego guests. It must not
// be changed.
func ABI() *engine.ABI { return convention }

// convention describes the ABI to the engine. It serves both modes and names no built-in functions,
// so that all policies with the same binary share it.
var convention = &engine.ABI{
	Name:   "Rego",
	Memory: engine.MemoryImport{Module: "env", Name: "memory"},
	RequiredExports: []string{
		exportBuiltins, exportEntrypoints, exportMalloc, exportJSONParse, exportJSONDump,
		exportHeapGet, exportHeapSet,
		exportNew, exportSetInput, exportSetData, exportSetEntrypoint, exportGetResult, exportEval,
	},
	HostFunctions: []engine.HostFunction{
		function("opa_abort", 1, 0, abort),
		function("opa_println", 1, 0, printLine),
		function("opa_builtin0", 2, 1, callBuiltin(0)),
		function("opa_builtin1", 3, 1, callBuiltin(1)),
		function("opa_builtin2", 4, 1, callBuiltin(2)),
		function("opa_builtin3", 5, 1, callBuiltin(3)),
		function("opa_builtin4", 6, 1, callBuiltin(4)),
	},
	StartState: func() any { return &evaluation{env: &guestio.StartEnvironment} },
	WarmUps:    warmUps(),
}

// warmUps returns functions that evaluate the policy with an input for both modes.
func warmUps() (all []func(*engine.Instance) error) {
	for _, request := range guestio.WarmUpRequests {
		input := []byte(`{"request":` + request + `,"review":` + request + `,"parameters":{}}`)
		all = append(all, func(i *engine.Instance) error { return warmUp(i, input) })
	}
	return all
}

// warmUp evaluates the policy once and then resets the heap, as hosts do before they reuse an
// instance.
func warmUp(i *engine.Instance, input []byte) error {
	heap, err := i.Call(exportHeapGet)
	if err != nil {
		return err
	}
	data, err := parse(i, "data", text{[]byte(`{}`)})
	if err != nil {
		return err
	}
	result, err := query(i, text{input}, data)
	if err != nil {
		return err
	}
	_, err = dump(i, "response", result, guestio.StartEnvironment.Limits.ResponseBytes)
	if err != nil {
		return err
	}
	_, err = i.Call(exportHeapSet, heap)
	return err
}

// function describes an import of a guest. All parameters and results have the type i32.
func function(name string, params, results int,
	call func(*engine.Instance, []uint64)) engine.HostFunction {
	return engine.HostFunction{
		Module:  "env",
		Name:    name,
		Params:  slices.Repeat([]engine.ValueType{engine.I32}, params),
		Results: slices.Repeat([]engine.ValueType{engine.I32}, results),
		Call:    call,
	}
}
