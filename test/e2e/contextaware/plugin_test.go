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
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// In process, a policy sees what roles grant the configured user, and nothing before.
func TestThePluginLooksAsTheConfiguredUser(t *testing.T) {
	directory := t.TempDir()
	wasm, err := os.ReadFile(filepath.Join("..", "..", "wat", "list-resources.wasm"))
	require.NoError(t, err)
	require.NoError(t, os.Chmod(directory, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(directory, "policy.wasm"), wasm, 0o600))
	inProcess := harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    capabilities: {kubernetes: {user: eyes}}
    circuitBreaker: {failures: 0}
    policies:
    - name: lister
      module: file://` + directory + `/policy.wasm
      settings: {api_version: v1, kind: Namespace, then: read}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: ["kubernetes/*"]
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
`})
	client := inProcess.Clientset()
	create := func() error {
		_, err := client.CoreV1().ConfigMaps("default").Create(t.Context(),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"}}, metav1.CreateOptions{})
		return err
	}
	require.ErrorContains(t, create(), `user "eyes", whose eyes policies see with, cannot list resource "namespaces" in API group "" in all namespaces`)

	_, err = client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:aggregate-to-view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eyes"}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool { return create() == nil }, "what the user may see, the policy sees")

	metrics, err := inProcess.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, metrics, `apiserver_wasm_admission_cluster_looks_total{operation="list_resources_all",result="denied"}`)
	require.Contains(t, metrics, "apiserver_wasm_admission_cluster_caches 1\n")
	require.NotContains(t, inProcess.Logs(), "panic")
}
