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

// mainFunction is the export by which a WASI command is run.
const mainFunction = "_start"

// Command makes the guests of an ABI WASI commands (preview 1, application ABI):
// programs with arguments and a standard input that run to their end, once for
// each evaluation. They are run by [Instance.Run].
type Command struct {
	// Input fills p with what comes next on the guest's standard input and returns
	// how much that was. Less than asked for is the end, for now: there may be more
	// later. It runs on the goroutine of the evaluation, or while that waits, and p, which is the guest's
	// memory, is valid during the call only. Nil stands for an empty input.
	Input func(i *Instance, p []byte) int
	// Parked are the arguments of the runs that are worth the most: instances wait for
	// those where the program reads its input for the first time, if the guest does so
	// before it has printed anything or called an external host function. What it does
	// until then, it does when the module is loaded. Nil has all runs begin at the start.
	Parked []string
}

// Run runs the program with arguments, of which the first is its name by
// convention, from where every evaluation starts to its end. It may be called once
// for each evaluation. A program that returns or exits with status zero has
// succeeded; the status of one that has not is that of an [*ExitError].
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

// commandFunctions are the functions of WASI that only commands have a use for:
// wazero's have the same arguments for all evaluations.
func commandFunctions() []HostFunction {
	return []HostFunction{
		wasiFunction("args_get", "ii", argsGet),
		wasiFunction("args_sizes_get", "ii", argsSizesGet),
	}
}

// argsGet writes the arguments, each ended by a zero, and a list of where they are.
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

// argsSizesGet writes how many arguments there are and how long they are together.
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
