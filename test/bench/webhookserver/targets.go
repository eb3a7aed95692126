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
	"errors"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/test/bench/policyserver"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// target is a measured server.
type target interface {
	// name is the prefix of the server's figures.
	name() string
	// url returns the URL for the n-th review. Reviews go to one policy after another.
	url(n int) string
	pid() int
	stop() error
}

// start starts all available servers.
func start(ctx context.Context, cluster *harness.Server, directory string,
	policies int) ([]target, error) {
	w, err := startWebhook(cluster, directory, policies)
	if err != nil {
		return nil, err
	}
	p, err := policyserver.Start(ctx, directory, policies)
	if p == nil || err != nil {
		return []target{w}, err
	}
	return []target{w, policyServer{p}}, nil
}

// webhook is this repository's webhook server.
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
		list[n] = map[string]any{
			"name":   fmt.Sprintf("policy-%d", n),
			"module": "file://" + sample.ModulePath(modules, n),
		}
	}
	config, err := yaml.Marshal(map[string]any{
		"apiVersion": "wasm.admission.config.k8s.io/v1alpha1",
		"kind":       "WasmAdmissionConfiguration",
		"policies":   list,
	})
	if err != nil {
		return nil, err
	}
	server, err := cluster.NewWebhook(directory, string(config),
		"--write-webhook-configurations=false")
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

// policyServer is Kubewarden's policy-server.
type policyServer struct{ *policyserver.Server }

func (policyServer) name() string { return "policy_server" }

func (p policyServer) url(n int) string { return p.URLs[n%len(p.URLs)] + "?timeout=10s" }

func (p policyServer) pid() int { return p.PID() }

func (p policyServer) stop() error { return p.Stop() }
