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
	"io"
	"os"
	"os/exec"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/bench/webhook"
)

// webhooks is the process that serves the webhooks. It is a separate process, so that its processor
// time and memory can be measured.
type webhooks struct {
	command  *exec.Cmd
	stdin    io.Closer
	endpoint webhook.Endpoint
}

// startWebhooks starts this program again as the webhook server, and returns once it serves.
func startWebhooks(directory string) (*webhooks, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &webhooks{command: exec.Command(program, "-serve="+directory)}
	w.command.Stderr = os.Stderr
	if w.stdin, err = w.command.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.command.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(stdout).Decode(&w.endpoint); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the webhooks: %w", err), w.stop())
	}
	return w, nil
}

// stop closes the process's standard input, on which it exits.
func (w *webhooks) stop() error {
	return errors.Join(w.stdin.Close(), w.command.Wait())
}

// serveWebhooks runs in the child process. It serves the modules in directory with the same engine
// as the apiserver, tells the parent the address, and exits when its standard input closes.
func serveWebhooks(ctx context.Context, directory string) (err error) {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	set, err := sample.Load(ctx, e, sample.PodPolicies(directory, most(byWebhook))...)
	if err != nil {
		return err
	}
	defer set.Close()
	server, err := webhook.Serve(set)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := json.NewEncoder(os.Stdout).Encode(server.Endpoint); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// createWebhooks registers a server's webhooks under names with a prefix.
func createWebhooks(ctx context.Context, client kubernetes.Interface, prefix string, m mechanism,
	endpoint webhook.Endpoint) error {
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: prefix},
	}
	for n := range most(m) {
		config.Webhooks = append(config.Webhooks, endpoint.Webhook(prefix, n, namespacesOf(m, n)))
	}
	_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().
		Create(ctx, config, metav1.CreateOptions{})
	return err
}
