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
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is the time in which a server must drain and exit.
const stopTimeout = time.Minute

// process is a child process whose standard error goes to a file.
type process struct {
	cmd     *exec.Cmd
	lines   chan string
	done    chan struct{} // closed once the process has exited
	log     string
	offset  int64 // the offset in the log at which this process starts
	stopped bool
}

// startProcess starts binary. It appends the standard error to the file log.
func startProcess(binary string, args []string, log string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the child has its own descriptor
	offset, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:    exec.Command(binary, args...),
		lines:  make(chan string, 16),
		done:   make(chan struct{}),
		log:    log,
		offset: offset,
	}
	p.cmd.Stderr = file
	// Keep the pipe open until the child exits. If this process dies, the pipe closes, and the
	// child exits.
	if _, err := p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.follow(stdout)
	return p, nil
}

// follow forwards the lines of stdout, and then waits for the process. Wait closes stdout, so it
// must come after the last line.
func (p *process) follow(stdout io.Reader) {
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		select {
		case p.lines <- scanner.Text():
		default: // nobody reads any more; never block the child
		}
	}
	_ = p.cmd.Wait() // the exit code stays in ProcessState
	close(p.done)
}

// announcement waits for a line of standard output with a prefix, and returns the rest of the line.
func (p *process) announcement(ctx context.Context, prefix string) (string, error) {
	for {
		select {
		case line := <-p.lines:
			if rest, found := strings.CutPrefix(line, prefix); found {
				return rest, nil
			}
		case <-p.done:
			return "", fmt.Errorf(
				"%s exited before it was ready: %s", p.cmd.Path, p.cmd.ProcessState)
		case <-ctx.Done():
			return "", fmt.Errorf("%s was not ready in time: %w", p.cmd.Path, ctx.Err())
		}
	}
}

// terminate sends SIGTERM to the process and waits until it exits.
func (p *process) terminate() error {
	if p.stopped {
		return nil
	}
	select {
	case <-p.done:
		return fmt.Errorf("%s had already exited: %s", p.cmd.Path, p.cmd.ProcessState)
	default:
	}
	p.stopped = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.stopped = false
		p.kill()
		return fmt.Errorf("%s did not exit within %s after SIGTERM", p.cmd.Path, stopTimeout)
	}
	if code := p.exitCode(); code != 0 {
		return fmt.Errorf("%s exited with %s", p.cmd.Path, p.cmd.ProcessState)
	}
	return nil
}

// kill kills the process and waits until it exits.
func (p *process) kill() {
	p.stopped = true
	_ = p.cmd.Process.Kill() // fails only if the process has exited
	<-p.done
}

// exitCode waits until the process exits and returns the exit code, or -1 after a signal.
func (p *process) exitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// logs returns the output of this process in the log.
func (p *process) logs() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return string(data[min(p.offset, int64(len(data))):])
}
