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
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// startLookers starts a server with policies whose modules are guests from test/wat, in the
// directory that replaces %[1]s. The policies read the cluster as a user without permissions.
func startLookers(t *testing.T, policies string, guests ...string) *harness.Server {
	t.Helper()
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	for _, guest := range guests {
		wasm, err := os.ReadFile(filepath.Join("..", "..", "wat", guest))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(directory, guest), wasm, 0o600))
	}
	return harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: fmt.Sprintf(`
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    capabilities: {kubernetes: {user: eyes}}
`+policies, directory)})
}

// openEyes grants the user the role of viewers.
func openEyes(t *testing.T, s *harness.Server) {
	t.Helper()
	_, err := s.Clientset().RbacV1().ClusterRoleBindings().
		Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
			RoleRef: rbacv1.RoleRef{
				APIGroup: rbacv1.GroupName,
				Kind:     "ClusterRole",
				Name:     "system:aggregate-to-view",
			},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eyes"}}},
			metav1.CreateOptions{})
	require.NoError(t, err)
}

// A client that makes a policy list something different on each request disables neither that
// policy, whose failures are ignored, nor other policies. Label selectors share one list. Each
// field selector is a watch of its own, and here there are more watches than may be started at
// once.
func TestBurstOfListsDisablesNoPolicy(t *testing.T) {
	s := startLookers(t, `
    circuitBreaker: {failures: 3}
    limits: {evaluationTimeout: 20s, requestTimeout: 30s}
    policies:
    - name: flood
      module: file://%[1]s/list-requested.wasm
      failurePolicy: Ignore
      contextAwareResources: [{apiVersion: v1, kind: Pod}]
      hostCapabilities: ["kubernetes/*"]
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: other
      module: file://%[1]s/list-resources.wasm
      settings: {api_version: v1, kind: Namespace, then: read}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: ["kubernetes/*"]
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [serviceaccounts], operations: [CREATE]}]
`, "list-requested.wasm", "list-resources.wasm")
	openEyes(t, s)
	judge := func(selector, text string) error {
		_, err := s.Clientset().CoreV1().ConfigMaps("default").
			Create(t.Context(), &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"},
				Data:       map[string]string{"api_version": "v1", "kind": "Pod", selector: text},
			}, metav1.CreateOptions{})
		return err
	}
	serve := func() error {
		_, err := s.Clientset().CoreV1().ServiceAccounts("default").Create(t.Context(),
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"}},
			metav1.CreateOptions{})
		return err
	}
	eventually(t, func() bool { return judge("label_selector", "app=x") != nil && serve() == nil },
		"policies must see what the user may see")

	for _, burst := range []struct {
		selector, text string
		requests       int
	}{{"label_selector", "app=x%d", 220}, {"field_selector", "spec.nodeName=n%d", 60}} {
		errs := make(chan error, burst.requests)
		for n := range burst.requests {
			go func() { errs <- judge(burst.selector, fmt.Sprintf(burst.text, n)) }()
		}
		for range 20 {
			require.NoError(t, serve(), "the other policy must not wait")
		}
		for range burst.requests {
			require.ErrorContains(t, <-errs, "nothing was found", burst.selector)
		}
	}
	metrics, err := s.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, metrics, `apiserver_wasm_admission_open_circuit_breakers{policy="flood"} 0`)
}
