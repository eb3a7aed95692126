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

package worker

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
)

// Argument is the first argument of a child process.
const Argument = "wasm-compile"

// Compiler compiles the task's module into its directory, in a child. It may panic, which ends the
// child.
type Compiler func(Task) error

var declared atomic.Bool

// Declared reports whether this program has called [Serve], so that its binary can be started as a
// child. A program that has not would start itself forever.
func Declared() bool { return declared.Load() }

// Serve must be the first call in a program. In a process that was started as a child, it compiles
// what its parent sends, and never returns. In any other process, it records that the program can
// be started as a child, and returns.
func Serve(compile Compiler) {
	if len(os.Args) < 2 || os.Args[1] != Argument {
		declared.Store(true)
		return
	}
	fmt.Fprintln(os.Stderr, serve(os.Args[2:], compile))
	os.Exit(1)
}

// limits are the limits that a child sets for itself before it reads anything.
type limits struct {
	// DataBytes limits its heap and all other memory that it can write.
	DataBytes int64 `json:"dataBytes"`
	// CPUSeconds limits everything that it compiles. The parent's clock limits each module.
	CPUSeconds uint64 `json:"cpuSeconds"`
}

// maxStack is the maximum size of a goroutine's stack in bytes. For the largest known module, the
// compiler takes a few megabytes. Growing a stack copies it, so one and a half times its size
// counts as data.
const maxStack = 64 << 20

// serve returns if it cannot begin or cannot answer. The end of its input ends the process.
func serve(arguments []string, compile Compiler) error {
	var l limits
	if len(arguments) != 1 || json.Unmarshal([]byte(arguments[0]), &l) != nil || l.DataBytes <= 0 {
		return fmt.Errorf(
			"%s is only for processes that the WebAssembly engine starts to compile modules, and takes their limits",
			Argument)
	}
	if err := l.impose(); err != nil {
		return err
	}
	debug.SetMaxStack(maxStack)
	// Data is more than the heap, so the heap gets three quarters. For a small module, the garbage
	// collector has little to do; it works more as the limit comes near.
	debug.SetMemoryLimit(l.DataBytes / 4 * 3)
	debug.SetGCPercent(400)

	tasks := make(chan *Task)
	go func() {
		for {
			t, err := readTask(os.Stdin)
			if err != nil {
				// The parent has ended or closed the pipe. Stop, whatever is being compiled.
				os.Exit(0)
			}
			tasks <- t
		}
	}()
	for {
		// A panic ends the child, like other failures of a compiler, for example out of memory.
		if err := writeAnswer(os.Stdout, compile(*<-tasks)); err != nil {
			return err
		}
	}
}

// standardStreams is the number of descriptors that a child gets.
const standardStreams = 3
