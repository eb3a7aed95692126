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

// ABI is a convention for speaking with a kind of guest: what the guest may
// import from the host and how an instance of it is brought up. An ABI is
// immutable once it was handed to [Engine.Load]; modules are shared between
// callers who pass the same pointer.
type ABI struct {
	// Name identifies the ABI in errors and logs, such as "wapc".
	Name string
	// HostFunctions are what a guest may import beside WASI. An import that is
	// neither makes [Engine.Load] fail.
	HostFunctions []HostFunction
	// Memory is what guests import their linear memory by, if they do. The memory is
	// made for each instance, like one that the module defines itself. The zero value
	// is for ABIs whose guests do not import it: one that does is not loaded.
	Memory MemoryImport
	// RequiredExports are functions without which a module is no guest of this
	// ABI.
	RequiredExports []string
	// StartFunctions are exports without parameters that are called in this
	// order, where the module has them, before an instance is handed out. The
	// start function of the module's start section, if any, comes before them.
	// WASI's proc_exit with status zero ends a start function successfully and
	// leaves the instance usable.
	StartFunctions []string
	// Command is for guests that are programs, which [Instance.Run] runs to their end.
	// Nil is for guests that export functions for [Instance.Call].
	Command *Command
	// Output gets what a guest writes to its standard output (fd 1) or standard
	// error (fd 2); nil discards it. It runs on the goroutine of the evaluation, or while that waits,
	// and p is valid during the call only.
	Output func(i *Instance, fd int, p []byte)
	// StartState returns the state for start functions and for warming up,
	// which no evaluation stands behind. Nil stands for a state of nil.
	StartState func() any
	// WarmUp has a fresh instance do what an evaluation will ask of it, with a
	// request that is as good as any. What it leaves behind becomes part of
	// what evaluations start from, if that makes them cheaper; see [Module].
	// Nil means that instances are used as their start functions leave them.
	WarmUp func(i *Instance) error
}

// MemoryImport names an imported memory.
type MemoryImport struct{ Module, Name string }

// HostFunction is a function that a guest may import.
type HostFunction struct {
	// Module and Name are what the guest imports it by.
	Module, Name string
	// Params and Results are its type.
	Params, Results []ValueType
	// External is whether the function tells the guest something of the world.
	// What a guest learned while it warmed up must not be part of what
	// evaluations start from.
	External bool
	// Call runs on the goroutine of the evaluation, or while that waits. It finds its parameters in
	// stack and leaves its results there, as [api.GoModuleFunc] has it. To end
	// the evaluation it calls [Instance.Abort].
	Call func(i *Instance, stack []uint64)
}
