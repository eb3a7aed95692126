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

package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTimeout bounds how long a part may take until it serves.
const startTimeout = time.Minute

// part is a program that serves.
type part struct {
	name        string
	arguments   []string
	environment []string
	// ready is a URL that answers once it serves, tcp:// that of a port.
	ready string

	log  string
	done chan struct{} // closed once it is gone
}

// start starts a part, which ends with the context.
func (p *part) start(ctx context.Context, options Options) error {
	p.log, p.done = filepath.Join(options.Directory, p.name+".log"), make(chan struct{})
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, options.program(p.name), p.arguments...)
	command.Dir, command.Stdout, command.Stderr = options.Directory, log, log
	command.Env = append([]string{"HOME=" + options.Directory, "PATH=" + os.Getenv("PATH")},
		p.environment...)
	// The others would wait half a minute for connections that are kept open.
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGKILL) }
	if err := command.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	go func() {
		defer close(p.done)
		_ = command.Wait() // it was killed
		_ = log.Close()    // the part had a descriptor of its own
	}()
	return nil
}

// serves waits until a part answers.
func (p *part) serves(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.answers(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, p.lastLines())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w: %s", p.name, context.Cause(ctx),
				p.lastLines())
		}
	}
}

// answers is whether it serves by now.
func (p *part) answers(ctx context.Context) bool {
	if address, isPort := strings.CutPrefix(p.ready, "tcp://"); isPort {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return err == nil && connection.Close() == nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// lastLines returns what a part wrote last.
func (p *part) lastLines() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(content[max(0, len(content)-2000):]))
}

// freePorts returns ports that nobody listened at just now: the parts do not say which they took.
func freePorts(count int) (ports []int, err error) {
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // it has served its purpose
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
