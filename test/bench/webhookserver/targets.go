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

package main

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
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// target is a server that is measured.
type target interface {
	// name is how its figures begin.
	name() string
	// url is where the n-th review goes: to one policy after another.
	url(n int) string
	pid() int
	stop() error
}

// start starts the servers that there are.
func start(ctx context.Context, cluster *harness.Server, directory string, policies int) ([]target, error) {
	w, err := startWebhook(cluster, directory, policies)
	if err != nil {
		return nil, err
	}
	binary := os.Getenv("POLICY_SERVER")
	if binary == "" {
		return []target{w}, nil
	}
	p, err := startPolicyServer(ctx, binary, directory, policies)
	if err != nil {
		return []target{w}, err
	}
	return []target{w, p}, nil
}

// webhook is ours.
type webhook struct {
	*harness.Webhook
	directory string
	policies  int
}

func startWebhook(cluster *harness.Server, modules string, policies int) (*webhook, error) {
	directory, err := os.MkdirTemp("", "bench-webhook-server-")
	if err != nil {
		return nil, err
	}
	list := make([]map[string]any, policies)
	for n := range list {
		list[n] = map[string]any{"name": fmt.Sprintf("policy-%d", n), "module": "file://" + sample.ModulePath(modules, n)}
	}
	config, err := yaml.Marshal(map[string]any{"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration", "policies": list})
	if err != nil {
		return nil, err
	}
	server, err := cluster.NewWebhook(directory, string(config), "--write-webhook-configurations=false")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(directory))
	}
	return &webhook{server, directory, policies}, nil
}

func (w *webhook) name() string { return "webhook" }

func (w *webhook) url(n int) string {
	return fmt.Sprintf("https://%s/validate/policy-%d?timeout=10s", w.Address, n%w.policies)
}

func (w *webhook) pid() int { return w.PID() }

func (w *webhook) stop() error { return errors.Join(w.Stop(), os.RemoveAll(w.directory)) }

// policyServer is Kubewarden's.
type policyServer struct {
	command   *exec.Cmd
	directory string
	address   string
	policies  int
}

func startPolicyServer(ctx context.Context, binary, modules string, policies int) (p *policyServer, err error) {
	p = &policyServer{policies: policies}
	if p.directory, err = os.MkdirTemp("", "bench-policy-server-"); err != nil {
		return nil, err
	}
	entries := map[string]any{}
	for n := range policies {
		entries[fmt.Sprintf("policy-%d", n)] = map[string]any{"module": "file://" + sample.ModulePath(modules, n), "settings": map[string]any{}}
	}
	// JSON is YAML too.
	list, err := json.Marshal(entries)
	if err != nil {
		return nil, err
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"policies.yml": list, "tls.crt": certificate, "tls.key": key} {
		if err := os.WriteFile(filepath.Join(p.directory, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	ports := make([]string, 2)
	for n := range ports {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		_, ports[n], err = net.SplitHostPort(listener.Addr().String())
		if err = errors.Join(err, listener.Close()); err != nil {
			return nil, err
		}
	}
	p.address = "127.0.0.1:" + ports[0]
	p.command = exec.Command(binary, "--addr=127.0.0.1", "--port="+ports[0], "--readiness-probe-port="+ports[1],
		"--policies="+filepath.Join(p.directory, "policies.yml"), "--policies-download-dir="+p.directory, "--sigstore-cache-dir="+p.directory,
		"--cert-file="+filepath.Join(p.directory, "tls.crt"), "--key-file="+filepath.Join(p.directory, "tls.key"),
		"--ignore-kubernetes-connection-failure", "--log-level=error")
	p.command.Stderr = os.Stderr
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if err := p.wait(ctx, "http://127.0.0.1:"+ports[1]+"/readiness"); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// wait returns once the server is ready.
func (p *policyServer) wait(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close() // its status is all that is wanted
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("policy-server is not ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *policyServer) name() string { return "policy_server" }

func (p *policyServer) url(n int) string {
	return fmt.Sprintf("https://%s/validate/policy-%d?timeout=10s", p.address, n%p.policies)
}

func (p *policyServer) pid() int { return p.command.Process.Pid }

// stop kills it: how it ends is nobody's business here.
func (p *policyServer) stop() error {
	err := p.command.Process.Kill()
	_ = p.command.Wait() // it was killed
	return errors.Join(err, os.RemoveAll(p.directory))
}
