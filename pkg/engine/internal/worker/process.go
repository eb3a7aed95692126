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
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// DiedError means that a child ended while it compiled a module.
type DiedError struct {
	// How is how it ended: its exit code or the signal.
	How string
	// Said is the beginning of its standard error, as a single line.
	Said string
}

// Error implements the error interface.
func (e *DiedError) Error() string {
	if e.Said == "" {
		return "the process that compiled it ended: " + e.How
	}
	return fmt.Sprintf("the process that compiled it ended: %s: %s", e.How, e.Said)
}

// process is a child. Only one goroutine at a time uses it.
type process struct {
	command *exec.Cmd
	tasks   *os.File
	answers *os.File
	stderr  beginning
	exited  chan struct{}

	used  time.Duration // the duration of its tasks
	timer *time.Timer   // ends it after it was idle for too long
}

// start starts a child and returns when it runs.
func start(l limits) (*process, error) {
	program, err := executable()
	if err != nil {
		return nil, err
	}
	argument, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	p := &process{exited: make(chan struct{})}
	stdin, tasks, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answers, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), tasks.Close())
	}
	p.tasks, p.answers = tasks, answers
	p.command = &exec.Cmd{
		Path:   program,
		Args:   []string{os.Args[0], Argument, string(argument)},
		Dir:    "/",
		Stdin:  stdin,
		Stdout: stdout,
		Stderr: &p.stderr,
		// The child gets none of the parent's environment, which may hold secrets and settings. It
		// uses one processor because other children run beside it. With GOGC=off, it does not
		// spend time on collecting what a large program allocates before main.
		Env:         []string{"GOMAXPROCS=1", "GOGC=off", "GOTRACEBACK=none"},
		SysProcAttr: endsWithParent(),
	}
	started := make(chan error)
	go p.own(started)
	err = <-started
	_, _ = stdin.Close(), stdout.Close() // the child's ends of the pipes
	if err != nil {
		_, _ = tasks.Close(), answers.Close()
		return nil, err
	}
	return p, nil
}

// own starts the child and stays on one thread until the child ends, because the kernel treats the
// end of that thread as the end of the parent.
func (p *process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.command.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.command.Wait() // the process state has all the details
	close(p.exited)
}

// compile makes the child compile a module. It returns the compiler's error, a [DiedError], or the
// cause of the context's end. It also returns whether the child can be used again.
func (p *process) compile(ctx context.Context, t *Task) (err error, usable bool) { //nolint:revive // the error is the result
	begin := time.Now()
	stop := context.AfterFunc(ctx, p.kill)
	failure, broken := p.exchange(t)
	p.used += time.Since(begin)
	if broken == nil {
		return failure, stop()
	}
	stop()
	p.end()
	if ctx.Err() != nil {
		return context.Cause(ctx), false
	}
	how := p.command.ProcessState.String()
	if p.command.ProcessState.Success() {
		how = broken.Error()
	}
	return &DiedError{How: how, Said: p.stderr.line()}, false
}

// exchange sends a task and reads the answer.
func (p *process) exchange(t *Task) (failure, broken error) {
	w := bufio.NewWriter(p.tasks)
	if err := writeTask(w, t); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return readAnswer(p.answers)
}

func (p *process) kill() { _ = p.command.Process.Kill() } // fails if the child has already ended

// end kills the child, which has no state to save, and waits until it has ended.
func (p *process) end() {
	p.kill()
	<-p.exited
	_, _ = p.tasks.Close(), p.answers.Close()
}

// beginning keeps the beginning of what is written to it.
type beginning struct {
	mu   sync.Mutex
	kept []byte
}

// maxSaid is the number of bytes kept of a child's standard error.
const maxSaid = 2048

func (b *beginning) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, text[:min(len(text), maxSaid-len(b.kept))]...)
	return len(text), nil
}

// line returns the first lines, which say what happened, as a single line.
func (b *beginning) line() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said, _, _ := bytes.Cut(b.kept, []byte("\n\n")) // traces follow
	return strings.Join(strings.Fields(printable(string(said))), " ")
}
