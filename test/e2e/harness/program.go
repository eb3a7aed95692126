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

package harness

import (
	"fmt"
	"os"
)

// Program is another program that a test runs, in a process of its own that the test takes
// away again. Its methods are not safe for concurrent use.
type Program struct{ process *process }

// StartProgram starts a command and returns at once. What it writes to standard error is
// appended to the file log. The caller ends it with Stop or Kill9.
func StartProgram(log string, command ...string) (*Program, error) {
	p, err := startProcess(command[0], command[1:], log)
	if err != nil {
		return nil, err
	}
	return &Program{p}, nil
}

// Built returns the path of a program in bin of this repository, which a target of the
// Makefile makes.
func Built(name, target string) (string, error) {
	path, err := inRepository("bin/" + name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no %s: run `make %s`: %w", name, target, err)
	}
	return path, nil
}

// PID returns the process id.
func (p *Program) PID() int { return p.process.cmd.Process.Pid }

// Logs returns what it has written to standard error.
func (p *Program) Logs() string { return p.process.logs() }

// Done is closed once the process is gone.
func (p *Program) Done() <-chan struct{} { return p.process.done }

// ExitCode waits for the end and returns the exit code, -1 after a signal.
func (p *Program) ExitCode() int { return p.process.exitCode() }

// Stop ends it with SIGTERM and returns once the process is gone. It fails if it had ended
// before, exits with a code other than 0, or has to be killed because it does not end.
func (p *Program) Stop() error { return p.process.terminate() }

// Kill9 ends it with SIGKILL, as a crash would, and returns once the process is gone.
func (p *Program) Kill9() { p.process.kill() }
