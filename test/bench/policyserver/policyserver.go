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

// Package policyserver starts Kubewarden's policy-server, for comparison. The program is not part
// of this repository. For the comparison, install it and set its path.
package policyserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/util/cert"

	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/bench/webhook"
)

// Variable is the environment variable with the path of the program.
const Variable = "POLICY_SERVER"

// startTimeout is the time in which the server must compile its policies.
const startTimeout = 5 * time.Minute

// Server is a running policy-server.
type Server struct {
	webhook.Endpoint
	command   *exec.Cmd
	directory string
}

// Given reports whether the environment names a program.
func Given() bool { return os.Getenv(Variable) != "" }

// Start starts the program that the environment names, with the first modules in a directory that
// [sample.WriteModules] wrote, and returns once the server is ready. If the environment names no
// program, Start returns nil. The caller must stop the server.
func Start(ctx context.Context, modules string, policies int) (s *Server, err error) {
	if !Given() {
		return nil, nil
	}
	s = &Server{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting %s=%s: %w", Variable, os.Getenv(Variable), err),
				s.Stop())
			s = nil
		}
	}()
	if s.directory, err = os.MkdirTemp("", "bench-policy-server-"); err != nil {
		return s, err
	}
	if err := s.configure(modules, policies); err != nil {
		return s, err
	}
	port, readiness, err := freePorts(ctx)
	if err != nil {
		return s, err
	}
	for n := range policies {
		s.URLs = append(s.URLs, fmt.Sprintf("https://127.0.0.1:%s/validate/%s", port, name(n)))
	}
	s.command = exec.Command(os.Getenv(Variable), "--addr=127.0.0.1", "--port="+port,
		"--readiness-probe-port="+readiness, "--policies="+s.path("policies.yml"),
		"--policies-download-dir="+s.directory, "--sigstore-cache-dir="+s.directory,
		"--cert-file="+s.path("tls.crt"), "--key-file="+s.path("tls.key"),
		"--ignore-kubernetes-connection-failure", "--log-level=error")
	s.command.Stderr = os.Stderr
	if err := s.command.Start(); err != nil {
		return s, err
	}
	return s, wait(ctx, "http://127.0.0.1:"+readiness+"/readiness")
}

func name(n int) string { return fmt.Sprintf("policy-%d", n) }

func (s *Server) path(name string) string { return filepath.Join(s.directory, name) }

// configure writes the program's configuration.
func (s *Server) configure(modules string, policies int) error {
	entries := map[string]any{}
	for n := range policies {
		entries[name(n)] = map[string]any{
			"module":   "file://" + sample.ModulePath(modules, n),
			"settings": map[string]any{},
		}
	}
	list, err := json.Marshal(entries) // JSON is valid YAML
	if err != nil {
		return err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost",
		[]net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	s.CABundle = certificate // the file includes the certificate's authority
	for name, content := range map[string][]byte{
		"policies.yml": list,
		"tls.crt":      certificate,
		"tls.key":      key,
	} {
		if err := os.WriteFile(s.path(name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// freePorts returns two ports that are currently free.
func freePorts(ctx context.Context) (first, second string, err error) {
	ports := make([]string, 2)
	for n := range ports {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		// nothing was sent; keep the listener open, so that the second port differs from the first
		defer func() { _ = listener.Close() }()
		if _, ports[n], err = net.SplitHostPort(listener.Addr().String()); err != nil {
			return "", "", err
		}
	}
	return ports[0], ports[1], nil
}

// wait returns once the server is ready.
func wait(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close() // only the status matters
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// PID returns the process ID of the server.
func (s *Server) PID() int { return s.command.Process.Pid }

// Stop kills the server. A graceful exit is not needed here.
func (s *Server) Stop() (err error) {
	if s.command != nil && s.command.Process != nil {
		err = s.command.Process.Kill()
		_ = s.command.Wait() // the process was killed
	}
	if s.directory != "" {
		err = errors.Join(err, os.RemoveAll(s.directory))
	}
	return err
}
