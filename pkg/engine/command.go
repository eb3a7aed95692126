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

import "encoding/binary"

// mainFunction is the export that runs a WASI command.
const mainFunction = "_start"

// Command makes the guests of an ABI WASI commands (preview 1, application ABI): programs with
// arguments and a standard input that run to completion, once for each evaluation. [Instance.Run]
// runs them.
type Command struct {
	// Input fills p with the next bytes of the guest's standard input and returns their number.
	// Fewer bytes than requested mean the end for now; more may follow later. Input runs on the
	// evaluation's goroutine, or while that goroutine waits. p is the guest's memory and is valid
	// only during the call. Nil means an empty input.
	Input func(i *Instance, p []byte) int
	// Parked are the arguments of the most frequent runs. Instances wait for such runs at the
	// program's first read of its input, if until then the guest has not printed anything or called
	// an external host function. The guest does all work before that read when the module is
	// loaded. Nil makes all runs begin at the program's start.
	Parked []string
}

// Run runs the program to completion, from the state from which every evaluation starts. By
// convention, the first argument is the program's name. Run may be called once for each evaluation.
// A program succeeds if it returns or exits with status zero. Otherwise the error wraps an
// [*ExitError] with the status.
func (i *Instance) Run(arguments ...string) error {
	switch {
	case i.module.abi.Command == nil:
		return i.misuse(mainFunction, errNoCommand)
	case i.failed || i.ran:
		return i.misuse(mainFunction, errRunBefore)
	}
	t, exported := i.module.rewritten.FunctionExports[mainFunction]
	if !exported || len(t.Params)+len(t.Results) > 0 {
		return i.misuse(mainFunction, errNoMain)
	}
	if s := i.meter.check(); s != nil {
		return i.failure(PhaseCall, mainFunction, s)
	}
	i.ran, i.arguments = true, arguments
	f, err := i.enter(arguments)
	if err == nil {
		err = i.run(f)
	}
	if err != nil && !isExitZero(err) {
		return i.failure(PhaseCall, mainFunction, err)
	}
	return nil
}

// commandFunctions returns the WASI functions that only commands need. wazero's versions have the
// same arguments for all evaluations.
func commandFunctions() []HostFunction {
	return []HostFunction{
		wasiFunction("args_get", "ii", argsGet),
		wasiFunction("args_sizes_get", "ii", argsSizesGet),
	}
}

// argsGet writes the arguments, each terminated by a zero byte, and a list of their addresses.
func argsGet(i *Instance, params []uint64) uint32 {
	list, at := uint32(params[0]), uint32(params[1])
	var pointers, text []byte
	for _, argument := range i.arguments {
		pointers = binary.LittleEndian.AppendUint32(pointers, at+uint32(len(text)))
		text = append(append(text, argument...), 0)
	}
	if !i.Write(list, pointers) || !i.Write(at, text) {
		return wasiFault
	}
	return wasiSuccess
}

// argsSizesGet writes the number of arguments and their total size.
func argsSizesGet(i *Instance, params []uint64) uint32 {
	size := 0
	for _, argument := range i.arguments {
		size += len(argument) + 1
	}
	if errno := i.writeUint32(uint32(params[0]), uint32(len(i.arguments))); errno != wasiSuccess {
		return errno
	}
	return i.writeUint32(uint32(params[1]), uint32(size))
}
