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

// Command parts measures what policies add to the creation of a Pod on the real kube-apiserver,
// and where. It subtracts a CPU profile of requests without policies from one of requests that one
// policy evaluates, or as many as the flag -policies says. The server's collector runs between
// measurements, and the cost of the garbage is computed. With BASELINE=PATH, it measures another
// kube-apiserver in turns with the one of this repository, under names with the prefix baseline_.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
	"github.com/wasm-admission/wasm-admission/test/bench/garbage"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// Each namespace of each server is measured in a number of rounds, for a number of seconds each.
const rounds, seconds = 5, 6

// namespaces are a namespace in which no policy matches, and one in which all policies match.
var namespaces = []string{"none", "wasm"}

func main() {
	policies := flag.Int("policies", 1, "the number of policies that match in the second namespace")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *policies); err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, policies int) (err error) {
	servers := []*server{{}}
	if baseline := os.Getenv("BASELINE"); baseline != "" {
		servers = append(servers, &server{binary: baseline, prefix: "baseline_"})
	}
	for _, s := range servers {
		defer func() { err = errors.Join(err, s.stop()) }()
		if err := s.start(ctx, policies); err != nil {
			return err
		}
	}
	for round := range 1 + rounds {
		for _, s := range servers {
			for _, namespace := range namespaces {
				// The first round is a warm-up.
				if err := s.measure(ctx, namespace, round > 0); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range servers {
		s.report()
	}
	return nil
}

// server is a kube-apiserver and its measurements, by namespace.
type server struct {
	*harness.Server
	heap                      *garbage.Heap
	binary, prefix, directory string
	pod                       *corev1.Pod
	measured                  map[string]*measurement
}

func (s *server) start(ctx context.Context, policies int) (err error) {
	s.measured = map[string]*measurement{}
	for _, namespace := range namespaces {
		s.measured[namespace] = &measurement{parts: map[string]float64{}}
	}
	if s.pod, err = sample.Pod(); err != nil {
		return err
	}
	s.pod.ObjectMeta = metav1.ObjectMeta{
		Labels:          s.pod.Labels,
		Annotations:     s.pod.Annotations,
		OwnerReferences: s.pod.OwnerReferences,
	}
	s.pod.Status = corev1.PodStatus{}
	if s.directory, err = os.MkdirTemp("", "bench-parts-"); err != nil {
		return err
	}
	if err := sample.WriteModules(s.directory, policies); err != nil {
		return err
	}
	config, err := configuration(s.directory, policies)
	if err != nil {
		return err
	}
	if s.Server, err = harness.New(harness.Options{
		Binary:          s.binary,
		FeatureGate:     true,
		AdmissionConfig: config,
		Wrapper:         garbage.Wrapper,
	}); err != nil {
		return err
	}
	s.heap = garbage.NewHeap(s.Server)
	for _, name := range namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := s.Clientset().CoreV1().Namespaces().
			Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) stop() (err error) {
	if s.Server != nil {
		err = s.Stop()
	}
	return errors.Join(err, os.RemoveAll(s.directory))
}

// configuration returns the content of an AdmissionConfiguration file with policies.
func configuration(directory string, policies int) (string, error) {
	config := &v1alpha1.WasmAdmissionConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.SchemeGroupVersion.String(),
			Kind:       "WasmAdmissionConfiguration",
		},
		StateDirectory: filepath.Clean(directory),
	}
	for _, policy := range sample.PodPolicies(directory, policies) {
		config.Policies = append(config.Policies, v1alpha1.Policy{
			Name: policy.Name, Module: policy.Module, Rules: policy.Rules,
			NamespaceSelector: &metav1.LabelSelector{
				MatchLabels: map[string]string{corev1.LabelMetadataName: namespaces[1]},
			},
		})
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
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
