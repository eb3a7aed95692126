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
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// In process, a policy sees what roles grant to the configured user, and nothing before the grant.
func TestPluginReadsAsTheConfiguredUser(t *testing.T) {
	inProcess := startLookers(t, `
    circuitBreaker: {failures: 0}
    policies:
    - name: lister
      module: file://%[1]s/list-resources.wasm
      settings: {api_version: v1, kind: Namespace, then: read}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: ["kubernetes/*"]
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
`, "list-resources.wasm")
	client := inProcess.Clientset()
	create := func() error {
		_, err := client.CoreV1().ConfigMaps("default").Create(t.Context(),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"}},
			metav1.CreateOptions{})
		return err
	}
	require.ErrorContains(t, create(),
		`user "eyes", as whom policies read the cluster, cannot list resource "namespaces" in API group "" in all namespaces`)

	openEyes(t, inProcess)
	eventually(t, func() bool { return create() == nil }, "the policy must see what the user may see")

	metrics, err := inProcess.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, metrics,
		`apiserver_wasm_admission_cluster_looks_total{operation="list_resources_all",result="denied"}`)
	require.Contains(t, metrics, "apiserver_wasm_admission_cluster_caches 1\n")
	require.NotContains(t, inProcess.Logs(), "panic")
}
