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

package status

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/pkg/status"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// Replicas of the webhook server report their status in their own namespace.
func TestWebhookServersReportStatus(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	c := &cluster{T: t, root: t.TempDir()}
	require.NoError(t, os.Chmod(c.root, 0o700))
	module, err := os.ReadFile("../../wat/deny.wasm")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.path("deny.wasm"), module, 0o600))
	start := func(name, resource string) *harness.Webhook {
		require.NoError(t, os.MkdirAll(c.path(name), 0o700))
		w, err := s.NewWebhook(c.path(name),
			fmt.Sprintf(`apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: WasmAdmissionConfiguration
policies:
- name: p
  module: file://%s
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [%s], operations: [CREATE]}]
`, filepath.Join(c.root, "deny.wasm"), resource), "--status-namespace=default", "--write-webhook-configurations=false")
		require.NoError(t, err)
		t.Cleanup(w.Kill9)
		return w
	}
	first, second := start("first", "pods"), start("second", "pods")
	c.becomes(s, 0, []string{"--webhooks", "default"}, " running ")
	other := start("other", "configmaps")
	c.becomes(s, 3, []string{"--webhooks", "default"},
		"skew: servers run 2 different sets of policies")
	require.NoError(t, other.Stop())
	c.becomes(s, 0, []string{"--webhooks", "default"})
	require.NoError(t, first.Stop())
	require.NoError(t, second.Stop())
	left, err := s.Clientset().CoordinationV1().Leases("default").
		List(t.Context(), metav1.ListOptions{LabelSelector: status.Webhooks("default").Selector()})
	require.NoError(t, err)
	require.Empty(t, left.Items)
}
