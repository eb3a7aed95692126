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
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/cert"
)

// Webhook is a running wasm-admission-webhook on the loopback interface with a self-signed
// certificate. Its methods are safe for concurrent use, except Stop and Kill9.
type Webhook struct {
	// Address and StatusAddress are the server's addresses, as host:port.
	Address, StatusAddress string
	dir                    string
	process                *process
}

// WebhookBinary returns the path of the webhook server to test: the value of the environment
// variable WASM_ADMISSION_WEBHOOK, or else bin/wasm-admission-webhook in this repository.
func WebhookBinary() (string, error) {
	if path := os.Getenv("WASM_ADMISSION_WEBHOOK"); path != "" {
		return path, nil
	}
	path, err := inRepository("bin/wasm-admission-webhook")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf(
			"no webhook server to test: run `make webhook`, or set WASM_ADMISSION_WEBHOOK: %w",
			err)
	}
	return path, nil
}

// NewWebhook starts a webhook server with the policies in a WasmAdmissionConfiguration, and returns
// once it is ready. dir is an existing directory for its files, and args are further flags. The
// caller must stop it.
func (s *Server) NewWebhook(dir, configuration string, args ...string) (*Webhook, error) {
	binary, err := WebhookBinary()
	if err != nil {
		return nil, err
	}
	w := &Webhook{dir: dir}
	if w.Address, err = freeAddress(); err != nil {
		return nil, err
	}
	if w.StatusAddress, err = freeAddress(); err != nil {
		return nil, err
	}
	err = os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(configuration), 0o600)
	if err != nil {
		return nil, err
	}
	if err := w.NewCertificate(); err != nil {
		return nil, err
	}
	command := []string{
		"--config=" + filepath.Join(dir, "config.yaml"), "--kubeconfig=" + s.kubeconfig,
		"--bind-address=" + w.Address, "--status-address=" + w.StatusAddress,
		"--tls-cert-file=" + w.certificate(),
		"--tls-private-key-file=" + filepath.Join(dir, "tls.key"),
		"--ca-bundle-file=" + w.certificate(), "--url=https://" + w.Address,
		"--drain-delay=0s",
	}
	if w.process, err = startProcess(binary, append(command, args...),
		filepath.Join(dir, "webhook.log")); err != nil {
		return nil, err
	}
	if err := w.becomeReady(); err != nil {
		w.process.kill()
		return nil, errors.Join(err, fmt.Errorf("log of the webhook server:\n%s", w.Logs()))
	}
	return w, nil
}

// StartWebhook is like NewWebhook, but stops the server when the test ends. If the test fails, its
// log includes the server's log.
func (s *Server) StartWebhook(t testing.TB, configuration string, args ...string) *Webhook {
	t.Helper()
	w, err := s.NewWebhook(t.TempDir(), configuration, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Errorf("stopping the webhook server: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the webhook server:\n%s", w.Logs())
		}
	})
	return w
}

// freeAddress returns a free loopback address. Another process could take the address before it is
// used, but that has not been seen.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (w *Webhook) certificate() string { return filepath.Join(w.dir, "tls.crt") }

// NewCertificate replaces the certificate and its key.
func (w *Webhook) NewCertificate() error {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost",
		[]net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return err
	}
	return errors.Join(replace(filepath.Join(w.dir, "tls.key"), key),
		replace(w.certificate(), certificate))
}

// replace atomically replaces a file.
func replace(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Certificate returns the certificate that the server should use, in PEM.
func (w *Webhook) Certificate() ([]byte, error) { return os.ReadFile(w.certificate()) }

// becomeReady waits until the server reports that it is ready.
func (w *Webhook) becomeReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	for {
		if status, _, err := w.Get(ctx, "/readyz"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-w.process.done:
			return fmt.Errorf("%s exited before it was ready: %s", w.process.cmd.Path,
				w.process.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready in time: %w", w.process.cmd.Path, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Get sends GET path to the status address, and returns the status code and the body.
func (w *Webhook) Get(ctx context.Context, path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.StatusAddress+path,
		nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }() // only read from
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// PID returns the process ID of the server.
func (w *Webhook) PID() int { return w.process.cmd.Process.Pid }

// Logs returns the server's standard error.
func (w *Webhook) Logs() string { return w.process.logs() }

// Stop stops the server with SIGTERM and returns once it has exited. It fails like [Server.Stop].
func (w *Webhook) Stop() error { return w.process.terminate() }

// Kill9 kills the server with SIGKILL, and returns once it has exited.
func (w *Webhook) Kill9() { w.process.kill() }

// ExecuteWebhook runs the webhook server's binary with args until it exits.
func ExecuteWebhook(ctx context.Context, args ...string) (Output, error) {
	binary, err := WebhookBinary()
	if err != nil {
		return Output{}, err
	}
	return execute(ctx, binary, slices.Clone(args)...)
}
