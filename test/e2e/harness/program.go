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

// Program is another program that a test runs in a child process. Its methods are not safe for
// concurrent use.
type Program struct{ process *process }

// StartProgram starts a command and returns at once. It appends the standard error to the file log.
// The caller must stop the program with Stop or Kill9.
func StartProgram(log string, command ...string) (*Program, error) {
	p, err := startProcess(command[0], command[1:], log)
	if err != nil {
		return nil, err
	}
	return &Program{p}, nil
}

// Built returns the path of a program in this repository's bin directory, which a target of the
// Makefile builds.
func Built(name, target string) (string, error) {
	path, err := inRepository("bin/" + name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing: run `make %s`: %w", name, target, err)
	}
	return path, nil
}

// PID returns the process ID.
func (p *Program) PID() int { return p.process.cmd.Process.Pid }

// Logs returns the program's standard error.
func (p *Program) Logs() string { return p.process.logs() }

// Done returns a channel that is closed once the process has exited.
func (p *Program) Done() <-chan struct{} { return p.process.done }

// ExitCode waits until the program exits and returns the exit code, or -1 after a signal.
func (p *Program) ExitCode() int { return p.process.exitCode() }

// Stop stops the program with SIGTERM and returns once the process has exited. It fails if the
// program had already exited, exits with a nonzero code, or must be killed because it does not
// exit.
func (p *Program) Stop() error { return p.process.terminate() }

// Kill9 kills the program with SIGKILL, which acts like a crash, and returns once the process has
// exited.
func (p *Program) Kill9() { p.process.kill() }
