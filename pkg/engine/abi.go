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

package engine

import "github.com/tetratelabs/wazero/api"

// ValueType is the type of a parameter or result of a host function.
type ValueType = api.ValueType

// The value types that host functions use.
const (
	I32 = api.ValueTypeI32
	I64 = api.ValueTypeI64
)

// ABI is a convention for talking to a kind of guest: what the guest may import from the host, and
// how an instance starts. An ABI is immutable after it was passed to [Engine.Load]. Callers who
// pass the same pointer share modules.
type ABI struct {
	// Name identifies the ABI in errors and logs, such as "wapc".
	Name string
	// HostFunctions are the functions that a guest may import besides WASI. Any other import makes
	// [Engine.Load] fail.
	HostFunctions []HostFunction
	// Memory is the name under which guests import their linear memory, if they do. The engine
	// makes that memory for each instance, like a memory that the module defines. The zero value
	// means that guests must not import a memory: the engine does not load one that does.
	Memory MemoryImport
	// RequiredExports are the functions that a module must export to be a guest of this ABI.
	RequiredExports []string
	// StartFunctions are exports without parameters. Before the engine hands out an instance, it
	// calls those that the module has, in this order. The start function of the module's start
	// section, if any, runs before them. If a start function calls WASI's proc_exit with status
	// zero, it succeeds and the instance stays usable.
	StartFunctions []string
	// Command makes guests programs that [Instance.Run] runs to completion. With nil, guests export
	// functions for [Instance.Call].
	Command *Command
	// Output receives what a guest writes to its standard output (fd 1) or standard error (fd 2).
	// Nil discards it. Output runs on the evaluation's goroutine, or while that goroutine waits. p
	// is valid only during the call.
	Output func(i *Instance, fd int, p []byte)
	// StartState returns the state for start functions and for warming up, which run outside of any
	// evaluation. A nil function means a nil state.
	StartState func() any
	// WarmUps make a fresh instance do what evaluations will ask of it, each with another typical
	// request. They are tried in turn, until one succeeds and leaves a state that evaluations may
	// share. If that state makes evaluations cheaper, evaluations start from it; see [Module].
	// Without any, evaluations start from the state that the start functions leave.
	WarmUps []func(i *Instance) error
}

// MemoryImport names an imported memory.
type MemoryImport struct{ Module, Name string }

// HostFunction is a function that a guest may import.
type HostFunction struct {
	// Module and Name identify the import.
	Module, Name string
	// Params and Results are the function's type.
	Params, Results []ValueType
	// External marks a function that tells the guest something about the outside world. Evaluations
	// must not start from a state that depends on it.
	External bool
	// Call runs on the evaluation's goroutine, or while that goroutine waits. It reads its
	// parameters from stack and writes its results there, like [api.GoModuleFunc]. It calls
	// [Instance.Abort] to end the evaluation.
	Call func(i *Instance, stack []uint64)
}
