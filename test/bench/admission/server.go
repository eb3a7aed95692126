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
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
	"github.com/wasm-admission/wasm-admission/test/bench/garbage"
	"github.com/wasm-admission/wasm-admission/test/bench/policyserver"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// bench is a server with configurations, and the processes of the webhooks.
type bench struct {
	// prefix is the prefix of the server's figures. binary is its path, or empty for the server of
	// this repository.
	prefix, binary string

	server *harness.Server
	heap   *garbage.Heap
	// hooks is nil if no configuration has webhooks.
	hooks *webhooks
	// policyServer is Kubewarden's policy-server, or nil if there is none.
	policyServer *policyserver.Server
	client       kubernetes.Interface
	// pod is the Pod to create, without a name.
	pod *corev1.Pod
}

// startAll starts the server to measure, and the baseline if there is one.
func startAll(ctx context.Context, directory string) (benches []*bench, err error) {
	if baseline != "" {
		for _, b := range []*bench{{}, {prefix: "baseline_", binary: baseline}} {
			benches = append(benches, b)
			if err := b.start(ctx, directory); err != nil {
				return benches, err
			}
		}
		return benches, nil
	}
	b := &bench{}
	if err := b.startWebhooks(ctx, directory); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return []*bench{b}, b.start(ctx, directory)
}

// startWebhooks starts the processes of the webhooks.
func (b *bench) startWebhooks(ctx context.Context, directory string) (err error) {
	if b.hooks, err = startWebhooks(directory); err != nil {
		return err
	}
	b.policyServer, err = policyserver.Start(ctx, directory, most(byPolicyServer))
	return err
}

// start starts the server, and creates everything that the configurations need.
func (b *bench) start(ctx context.Context, directory string) (err error) {
	if b.pod, err = pod(); err != nil {
		return err
	}
	// Servers must not share a state directory.
	state := filepath.Join(directory, b.prefix)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	config, err := admissionConfiguration(directory, state)
	if err != nil {
		return err
	}
	// The ServiceAccount plugin is disabled, because no controller creates accounts.
	if b.server, err = harness.New(harness.Options{
		Binary:          b.binary,
		FeatureGate:     true,
		AdmissionConfig: config,
		Wrapper:         garbage.Wrapper,
	}); err != nil {
		return err
	}
	b.heap = garbage.NewHeap(b.server)
	b.client = b.server.Clientset()
	for _, c := range configurations {
		namespace := &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{
				Name:   c.name,
				Labels: map[string]string{namespaceLabel: c.name},
			},
		}
		if _, err := b.client.CoreV1().Namespaces().
			Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if b.policyServer != nil {
		if err := createWebhooks(ctx, b.client, policyServerWebhooks, byPolicyServer,
			b.policyServer.Endpoint); err != nil {
			return err
		}
	}
	if b.hooks == nil {
		return nil
	}
	return errors.Join(createWebhooks(ctx, b.client, ourWebhooks, byWebhook, b.hooks.endpoint),
		createCELPolicies(ctx, b.client))
}

// stop stops all started processes.
func (b *bench) stop() (err error) {
	if b.server != nil {
		err = b.server.Stop()
	}
	if b.hooks != nil {
		err = errors.Join(err, b.hooks.stop())
	}
	if b.policyServer != nil {
		err = errors.Join(err, b.policyServer.Stop())
	}
	return err
}

// processes returns the processes that take part in admission. The first one is the server, which
// includes etcd.
func (b *bench) processes() []int {
	all := []int{b.server.PID()}
	if b.hooks != nil {
		all = append(all, b.hooks.command.Process.Pid)
	}
	if b.policyServer != nil {
		all = append(all, b.policyServer.PID())
	}
	return all
}

// pod returns a Pod as a client would create it.
func pod() (*corev1.Pod, error) {
	pod, err := sample.Pod()
	if err != nil {
		return nil, err
	}
	pod.ObjectMeta = metav1.ObjectMeta{
		Labels:          pod.Labels,
		Annotations:     pod.Annotations,
		OwnerReferences: pod.OwnerReferences,
	}
	pod.Status = corev1.PodStatus{}
	return pod, nil
}

// admissionConfiguration returns the content of a server's AdmissionConfiguration file, with the
// policies in process. Each policy has its own module, as most policies do.
func admissionConfiguration(directory, state string) (string, error) {
	config := &v1alpha1.WasmAdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.SchemeGroupVersion.String(),
			Kind:       "WasmAdmissionConfiguration",
		},
		StateDirectory: state,
	}
	for n, p := range sample.PodPolicies(directory, most(inProcess)) {
		config.Policies = append(config.Policies, v1alpha1.Policy{
			Name: p.Name, Module: p.Module, Rules: p.Rules,
			NamespaceSelector: namespacesOf(inProcess, n),
		})
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encoding the plugin's configuration: %w", err)
	}
	whole, err := json.Marshal(&apiserverv1.AdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: apiserverv1.SchemeGroupVersion.String(),
			Kind:       "AdmissionConfiguration",
		},
		Plugins: []apiserverv1.AdmissionPluginConfiguration{{
			Name: "WasmAdmission", Configuration: &runtime.Unknown{Raw: raw},
		}},
	})
	return string(whole), err
}
