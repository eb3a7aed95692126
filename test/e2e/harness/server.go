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

// Package harness runs this repository's real kube-apiserver with its embedded etcd, for tests that
// access it over the network.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// StartTimeout is the time in which a server must become ready, or refuse to start. It is long
// enough for a slow machine that compiles large modules, and only exists so that a hanging server
// fails its test.
const StartTimeout = 5 * time.Minute

// Options configure a server. The zero value is a server without policies, with the feature gate
// off.
type Options struct {
	// Binary is the path of the kube-apiserver. The default is [ServerBinary].
	Binary string
	// Args are further flags for kube-apiserver. They override the flags that the other fields set.
	Args []string
	// FeatureGate enables the feature gate WasmAdmission.
	FeatureGate bool
	// AdmissionConfig is the content of the AdmissionConfiguration file, in YAML or JSON. If empty,
	// there is no such file.
	AdmissionConfig string
	// EtcdURL is the URL of an etcd to use instead of the embedded one.
	EtcdURL string
	// Wrapper is a command with arguments that runs the server. Its process must become the
	// server's process.
	Wrapper []string
	// AuditPolicy is the content of the audit policy file, in YAML or JSON. If empty, nothing is
	// audited. See [Server.AuditEvents].
	AuditPolicy string
	// Dir is the directory for the server's state. A server with the directory of a stopped server
	// continues with its data. The default is a new temporary directory, which is removed when the
	// server is stopped.
	Dir string
}

// Server is a running server. Its methods are safe for concurrent use, except Stop and Kill9.
type Server struct {
	dir        string
	temporary  bool
	kubeconfig string
	config     *rest.Config
	process    *process
}

// New starts a server and returns once it is ready. The caller must stop it. New is for servers in
// TestMain that several tests share. Other tests use Start.
func New(opts Options) (*Server, error) {
	s, err := launch(opts)
	if err != nil {
		return nil, err
	}
	if err := s.becomeReady(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, s.Logs()), s.removeTemporary())
	}
	return s, nil
}

// Start starts a server, returns once it is ready, and stops it when the test ends. If the test
// fails, its log includes the server's log.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := New(opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stopping kube-apiserver: %v", err)
		}
		if t.Failed() {
			t.Logf("log of kube-apiserver:\n%s", s.Logs())
		}
	})
	return s
}

// StartExpectingFailure starts a server that must not become ready, and returns its exit code and
// standard error. The test fails if the server becomes ready.
func StartExpectingFailure(t testing.TB, opts Options) (exitCode int, stderr string) {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	s, err := launch(opts)
	require.NoError(t, err)
	if err := s.becomeReady(); err == nil {
		_ = s.Stop()
		require.FailNow(t, "kube-apiserver became ready, but should have refused to start",
			s.Logs())
	}
	return s.process.exitCode(), s.Logs()
}

// launch starts the process and returns at once.
func launch(opts Options) (_ *Server, err error) {
	binary := opts.Binary
	if binary == "" {
		if binary, err = ServerBinary(); err != nil {
			return nil, err
		}
	}
	s := &Server{dir: opts.Dir}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "wasm-admission-e2e-"); err != nil {
			return nil, err
		}
		s.temporary = true
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	args := []string{"dev", "--dir=" + s.dir, "--exit-on-stdin-eof", "--etcd=" + opts.EtcdURL, "--"}
	if opts.FeatureGate {
		args = append(args, "--feature-gates=WasmAdmission=true")
	}
	if opts.AdmissionConfig != "" {
		file := filepath.Join(s.dir, "admission.yaml")
		if err := os.WriteFile(file, []byte(opts.AdmissionConfig), 0o600); err != nil {
			return nil, errors.Join(err, s.removeTemporary())
		}
		args = append(args, "--admission-control-config-file="+file)
	}
	if opts.AuditPolicy != "" {
		file := filepath.Join(s.dir, "audit.yaml")
		if err := os.WriteFile(file, []byte(opts.AuditPolicy), 0o600); err != nil {
			return nil, errors.Join(err, s.removeTemporary())
		}
		args = append(args, "--audit-policy-file="+file, "--audit-log-path="+s.auditLog())
	}
	command := append(append(slices.Clone(opts.Wrapper), binary), append(args, opts.Args...)...)
	s.process, err = startProcess(command[0], command[1:],
		filepath.Join(s.dir, "kube-apiserver.log"))
	if err != nil {
		return nil, errors.Join(err, s.removeTemporary())
	}
	return s, nil
}

// becomeReady waits until the server announces its kubeconfig. After an error, the process has
// exited.
func (s *Server) becomeReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	var err error
	if s.kubeconfig, err = s.process.announcement(ctx, "KUBECONFIG="); err != nil {
		s.process.kill()
		return err
	}
	if s.config, err = clientcmd.BuildConfigFromFlags("", s.kubeconfig); err != nil {
		s.process.kill()
		return err
	}
	s.config.QPS = -1 // do not throttle tests in the client
	return nil
}

// Dir returns the directory of the server's state.
func (s *Server) Dir() string { return s.dir }

// Kubeconfig returns the path of an administrator's kubeconfig.
func (s *Server) Kubeconfig() string { return s.kubeconfig }

// PID returns the process ID of the server, which includes etcd.
func (s *Server) PID() int { return s.process.cmd.Process.Pid }

// Logs returns the server's standard error so far. A server that is restarted on a directory
// appends to the previous server's log.
func (s *Server) Logs() string { return s.process.logs() }

// Stop stops the server with SIGTERM and returns once the process has exited. It fails if the
// server had already exited, except through Stop or Kill9, exits with a nonzero code, or must be
// killed because it does not exit.
func (s *Server) Stop() error {
	err := s.process.terminate()
	return errors.Join(err, s.removeTemporary())
}

// Kill9 kills the server with SIGKILL, which acts like a crash, and returns once the process has
// exited. It keeps the state, even in a temporary directory.
func (s *Server) Kill9() { s.process.kill() }

func (s *Server) removeTemporary() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}
