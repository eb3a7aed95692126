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
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

var server = flag.Bool("server", false, "start the server that KUBE_APISERVER names, for arm64")

// configuration compiles modules in process, because user-mode emulation cannot start the server's
// own binary as a child.
const configuration = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    compilation: {mode: InProcess}
    policies:
    - name: required-labels
      module: file://MODULES/required-labels.wasm
      settings: {labels: {team: "^[a-z]+$"}}
      rules: &rules
      - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
    - name: add-defaults
      module: file://MODULES/add-defaults.wasm
      mutating: true
      settings: {annotations: {example.com/seen: "yes"}}
      rules: *rules
`

// The whole server enforces policies on arm64: it denies one Pod and mutates another.
func TestServer(t *testing.T) {
	if !*server {
		t.Skip("starts a server for arm64: make test-arm64")
	}
	emulator, err := findEmulator()
	require.NoError(t, err)
	modules, err := filepath.Abs(filepath.Join("..", "..", "bin", "policies"))
	require.NoError(t, err)
	options := harness.Options{
		FeatureGate:     true,
		AdmissionConfig: strings.ReplaceAll(configuration, "MODULES", modules),
	}
	if emulator != "" {
		options.Wrapper = []string{emulator}
	}
	s := harness.Start(t, options)
	pods := s.Clientset().CoreV1().Pods("default")
	pod := func(labels map[string]string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-", Labels: labels},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{
					Name: "main", Image: "registry.example.com/main:1",
				}},
			},
		}
	}
	_, err = pods.Create(t.Context(), pod(nil), metav1.CreateOptions{})
	require.ErrorContains(t, err, `label "team" is missing`)
	created, err := pods.Create(t.Context(), pod(map[string]string{"team": "edge"}),
		metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "yes", created.Annotations["example.com/seen"])
	fmt.Println("figure arm64_server_pods_judged 2 count")
}
