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

// Package harness runs the real kube-apiserver of this repository, with the
// real etcd that is built into it, for tests that talk to it over the network.
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

// StartTimeout bounds how long a server may take until it is ready, or until it
// has refused to start. It allows for a slow machine that compiles large
// modules, and exists only so that a hanging server fails its test.
const StartTimeout = 5 * time.Minute

// Options say how to start a server. The zero value is a server without
// policies, its feature gate off.
type Options struct {
	// Binary is the path of the kube-apiserver. Empty is that of [ServerBinary].
	Binary string
	// Args are further flags of kube-apiserver, which override those below.
	Args []string
	// FeatureGate switches the feature gate WasmAdmission on.
	FeatureGate bool
	// AdmissionConfig is the content of the AdmissionConfiguration file, YAML
	// or JSON. There is no such file if it is empty.
	AdmissionConfig string
	// EtcdURL is that of an etcd for the server to use instead of one of its own.
	EtcdURL string
	// Wrapper is a command, with its arguments, that runs the server in its place: the
	// process that it starts as must become the server.
	Wrapper []string
	// AuditPolicy is the content of the audit policy file, YAML or JSON. Without one
	// nothing is audited; see Server.AuditEvents.
	AuditPolicy string
	// Dir is the directory of the server's state; a second server on the
	// directory of one that has ended goes on with its data. Empty is a new
	// temporary directory, which goes when the server is stopped.
	Dir string
}

// Server is a running server. Its methods are safe for concurrent use, except
// Stop and Kill9.
type Server struct {
	dir        string
	temporary  bool
	kubeconfig string
	config     *rest.Config
	process    *process
}

// New starts a server and returns once it is ready. The caller stops it. It is
// for servers that several tests share, from TestMain; others use Start.
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

// Start starts a server, returns once it is ready, and stops it when the test
// ends. The server's log goes to that of the test if the test fails.
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

// StartExpectingFailure starts a server that must not become ready, and returns
// its exit code and what it wrote to standard error. The test fails if the
// server becomes ready.
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

// becomeReady waits until the server announces its kubeconfig. On an error the
// process has ended.
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
	s.config.QPS = -1 // tests are not to be throttled by their client
	return nil
}

// Dir returns the directory of the server's state.
func (s *Server) Dir() string { return s.dir }

// Kubeconfig returns the path of an administrator's kubeconfig.
func (s *Server) Kubeconfig() string { return s.kubeconfig }

// PID returns the process id of the server, etcd included.
func (s *Server) PID() int { return s.process.cmd.Process.Pid }

// Logs returns what the server has written to standard error so far. A server
// started again on a directory adds to the log of the one before.
func (s *Server) Logs() string { return s.process.logs() }

// Stop ends the server with SIGTERM and returns once the process is gone. It
// fails if the server had ended before, unless by Stop or Kill9, exits with a
// code other than 0, or has to be killed because it does not end.
func (s *Server) Stop() error {
	err := s.process.terminate()
	return errors.Join(err, s.removeTemporary())
}

// Kill9 ends the server with SIGKILL, as a crash would, and returns once the
// process is gone. The state stays, even in a temporary directory.
func (s *Server) Kill9() { s.process.kill() }

func (s *Server) removeTemporary() error {
	if !s.temporary {
		return nil
	}
	return os.RemoveAll(s.dir)
}
