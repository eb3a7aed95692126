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

// Argument is the first argument of a process that is a child.
const Argument = "wasm-compile"

// Compiler does what a task says, in a child: it compiles the module into the directory.
// It may panic, which ends the child.
type Compiler func(Task) error

var declared atomic.Bool

// Declared says whether this program has called [Serve], so that its binary can be started
// as a child. One that cannot would run itself for ever.
func Declared() bool { return declared.Load() }

// Serve is called first thing in a program. In a process that was started as a child it
// compiles what its parent sends, and never returns. In all others it takes note that the
// program can be started as a child, and returns.
func Serve(compile Compiler) {
	if len(os.Args) < 2 || os.Args[1] != Argument {
		declared.Store(true)
		return
	}
	fmt.Fprintln(os.Stderr, serve(os.Args[2:], compile))
	os.Exit(1)
}

// limits are what a child bounds itself to before it reads anything.
type limits struct {
	// DataBytes is for its heap and all other memory that it can write.
	DataBytes int64 `json:"dataBytes"`
	// CPUSeconds is for all that it compiles. The parent's clock is for each module.
	CPUSeconds uint64 `json:"cpuSeconds"`
}

// maxStack bounds the stack of a goroutine, in bytes. The compiler of a module that is as
// large as any known takes a few megabytes. A stack that grows is copied, so that three
// halves of it count as data.
const maxStack = 64 << 20

// serve returns if it cannot begin, or cannot answer. The end of its input ends the process.
func serve(arguments []string, compile Compiler) error {
	var l limits
	if len(arguments) != 1 || json.Unmarshal([]byte(arguments[0]), &l) != nil || l.DataBytes <= 0 {
		return fmt.Errorf("%s is for use by the process that compiles WebAssembly modules, and takes its limits", Argument)
	}
	if err := l.impose(); err != nil {
		return err
	}
	debug.SetMaxStack(maxStack)
	// What is not heap counts as data too. The collector has little to do for a small module, and works
	// more as the limit comes near.
	debug.SetMemoryLimit(l.DataBytes / 4 * 3)
	debug.SetGCPercent(400)

	tasks := make(chan *Task)
	go func() {
		for {
			t, err := readTask(os.Stdin)
			if err != nil {
				// The parent has ended, or wants no more, whatever is being compiled.
				os.Exit(0)
			}
			tasks <- t
		}
	}()
	for {
		// A panic ends the child, as much else does that a compiler can come to: for want of memory, it may be.
		if err := writeAnswer(os.Stdout, compile(*<-tasks)); err != nil {
			return err
		}
	}
}

// standardStreams are the descriptors that a child is given.
const standardStreams = 3
