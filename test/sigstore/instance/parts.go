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

// startTimeout is the time in which a part must serve.
const startTimeout = time.Minute

// part is a server program.
type part struct {
	name        string
	arguments   []string
	environment []string
	// ready is a URL that responds once the part serves. A tcp:// URL only needs an open port.
	ready string

	log  string
	done chan struct{} // closed once the process has exited
}

// start starts a part, which stops when the context ends.
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
	// With another signal, parts would wait half a minute for open connections.
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGKILL) }
	if err := command.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	go func() {
		defer close(p.done)
		_ = command.Wait() // the process was killed
		_ = log.Close()    // the part has its own descriptor
	}()
	return nil
}

// serves waits until a part responds.
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
			return fmt.Errorf("%s exited: %s", p.name, p.lastLines())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w: %s", p.name, context.Cause(ctx),
				p.lastLines())
		}
	}
}

// answers reports whether the part serves.
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

// lastLines returns the last lines of a part's output.
func (p *part) lastLines() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(content[max(0, len(content)-2000):]))
}

// freePorts returns ports that are currently free. The parts cannot choose a free port, because
// they do not report it.
func freePorts(count int) (ports []int, err error) {
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // only needed to reserve the port
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
