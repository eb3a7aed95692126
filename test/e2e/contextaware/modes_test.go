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

package contextaware

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// inEveryMode is the configuration of a server with policies in the execution modes that
// are not waPC. Those that read the cluster do so as the default user.
const inEveryMode = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policies:
    - name: program
      module: file://MODULES/program.wasm
      mutating: true
      settings: &settings {label: owner}
      contextAwareResources: &namespaces [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: &get [kubernetes/get_resource]
      objectSelector: {matchLabels: {try: program}}
    - name: program-optimized
      module: file://MODULES/optimized.wasm
      mutating: true
      settings: *settings
      contextAwareResources: *namespaces
      hostCapabilities: *get
      objectSelector: {matchLabels: {try: optimized}}
    - name: rego
      module: file://MODULES/team-label.wasm
      mutating: true
      settings: {teams: {blue: alice}}
      objectSelector: {matchLabels: {try: rego}}
    - name: gatekeeper
      module: file://MODULES/unique-ingress-host.wasm
      contextAwareResources: [{apiVersion: networking.k8s.io/v1, kind: Ingress}]
`

// startInEveryMode starts that server, and says what its user may see.
func startInEveryMode(t *testing.T) (*harness.Server, *kubernetes.Clientset) {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	root := filepath.Join("..", "..", "..")
	for name, file := range map[string]string{
		"program":             "bin/policies/inherit-owner.wasm",
		"optimized":           "test/policies/inherit-owner/optimized.wasm",
		"team-label":          "test/policies/team-label/policy.wasm",
		"unique-ingress-host": "test/policies/unique-ingress-host/policy.wasm",
	} {
		wasm, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(directory, name+".wasm"), wasm, 0o600))
	}
	s := harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: strings.ReplaceAll(inEveryMode, "MODULES", directory)})
	client := s.Clientset()
	_, err := client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "eyes"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: []string{"list"}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "eyes"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:wasm-admission"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "owned", Labels: map[string]string{"owner": "alice"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return s, client
}

// On the server, policies of every execution mode refuse, change what they may, look at
// the cluster and log.
func TestEveryExecutionMode(t *testing.T) {
	s, client := startInEveryMode(t)
	for _, kind := range []string{"program", "optimized"} {
		t.Run(kind, func(t *testing.T) {
			object := func(name string) *corev1.ConfigMap {
				return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"try": kind}}}
			}
			var created *corev1.ConfigMap
			eventually(t, func() (ok bool) {
				var err error
				created, err = client.CoreV1().ConfigMaps("owned").Create(t.Context(), object(kind), metav1.CreateOptions{})
				return err == nil
			}, "the role takes effect")
			require.Equal(t, "alice", created.Labels["owner"])
			_, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), object(kind), metav1.CreateOptions{})
			require.ErrorContains(t, err, "neither the object nor namespace default has label owner")
		})
	}
	require.Contains(t, s.Logs(), `"Policy log" policy="program"`)
	t.Run("opa", func(t *testing.T) {
		pod := func(name string, labels map[string]string) *corev1.Pod {
			return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example.com/web:1"}}}}
		}
		created, err := client.CoreV1().Pods("default").Create(t.Context(), pod("blue", map[string]string{"try": "rego", "team": "blue"}), metav1.CreateOptions{})
		require.NoError(t, err)
		require.Equal(t, "alice", created.Annotations["example.com/owner"])
		_, err = client.CoreV1().Pods("default").Create(t.Context(), pod("none", map[string]string{"try": "rego"}), metav1.CreateOptions{})
		require.ErrorContains(t, err, "label team is missing")
	})
	t.Run("gatekeeper", func(t *testing.T) {
		ingress := func(name string) *networkingv1.Ingress {
			return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressSpec{
				DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}},
				Rules:          []networkingv1.IngressRule{{Host: "shop.example.com"}},
			}}
		}
		_, err := client.NetworkingV1().Ingresses("default").Create(t.Context(), ingress("first"), metav1.CreateOptions{})
		require.NoError(t, err)
		eventually(t, func() bool {
			_, err := client.NetworkingV1().Ingresses("owned").Create(t.Context(), ingress("second"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err != nil
		}, "the inventory follows the cluster")
		_, err = client.NetworkingV1().Ingresses("owned").Create(t.Context(), ingress("second"), metav1.CreateOptions{})
		require.ErrorContains(t, err, "host shop.example.com belongs to Ingress default/first")
	})
	require.NotContains(t, s.Logs(), "panic")
}
