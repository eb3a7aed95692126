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

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// languages are further policies of the enforcing server: mutating policies in each language except
// Go, which [mutators] covers, and policies with more time than a request has.
const languages = `
- name: written-in-rust
  module: MODULES/drop-capabilities.wasm
  mutating: true
  settings: {drop: [NET_RAW]}
  namespaceSelector: {matchLabels: {try: written-in-rust}}
- name: written-in-assemblyscript
  module: MODULES/default-tolerations.wasm
  mutating: true
  settings: {tolerations: [{key: example.com/spot, operator: Exists, effect: NoSchedule}]}
  namespaceSelector: {matchLabels: {try: written-in-assemblyscript}}
- name: written-in-c
  module: MODULES/always-pull.wasm
  mutating: true
  namespaceSelector: {matchLabels: {try: written-in-c}}
- name: patient-1
  module: MODULES/spin.wasm
  mutating: true
  timeoutEvalSeconds: 2
  failurePolicy: Ignore
  namespaceSelector: {matchLabels: {try: patient}}
- name: patient-2
  module: MODULES/spin.wasm
  mutating: true
  timeoutEvalSeconds: 2
  namespaceSelector: {matchLabels: {try: patient}}
`

func TestEveryLanguageChangesObjects(t *testing.T) {
	for language, check := range map[string]func(t *testing.T, spec *corev1.PodSpec){
		"rust": func(t *testing.T, spec *corev1.PodSpec) {
			require.Equal(t, []corev1.Capability{"NET_RAW"},
				spec.Containers[0].SecurityContext.Capabilities.Drop)
		},
		"assemblyscript": func(t *testing.T, spec *corev1.PodSpec) {
			require.Contains(t, spec.Tolerations, corev1.Toleration{
				Key:      "example.com/spot",
				Operator: corev1.TolerationOpExists,
				Effect:   corev1.TaintEffectNoSchedule,
			})
		},
		"c": func(t *testing.T, spec *corev1.PodSpec) {
			require.Equal(t, corev1.PullAlways, spec.Containers[0].ImagePullPolicy)
		},
	} {
		t.Run(language, func(t *testing.T) {
			object := pod("web", "registry.example.com/web:1")
			created, err := enforcing.Clientset().CoreV1().
				Pods(namespaceFor(t, "written-in-"+language)).Create(t.Context(), object,
				metav1.CreateOptions{})
			require.NoError(t, err)
			check(t, &created.Spec)
		})
	}
}

// If a webhook adds a container after a policy has seen the Pod, the policy sees the Pod again.
func TestReinvocationForAWebhook(t *testing.T) {
	namespace := namespaceFor(t, "written-in-c")
	addSidecarWebhook(t, namespace)
	client := enforcing.Clientset().CoreV1().Pods(namespace)
	require.Eventually(t, func() bool {
		dry, err := client.Create(t.Context(), pod("web", "registry.example.com/web:1"),
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err)
		return len(dry.Spec.Containers) == 2
	}, time.Minute, 50*time.Millisecond, "the webhook must take effect")
	created, err := client.Create(t.Context(), pod("web", "registry.example.com/web:1"),
		metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "late", created.Spec.Containers[1].Name)
	require.Equal(t, corev1.PullAlways, created.Spec.Containers[1].ImagePullPolicy)
	event := auditEvent(t, "create", namespace, "web")
	require.Contains(t, event.Annotations["wasm.admission.k8s.io/mutate.round_1"],
		`"policy":"written-in-c"`)
}

// addSidecarWebhook adds a webhook, which runs after the plugin, that adds a container to Pods in a
// namespace.
func addSidecarWebhook(t *testing.T, namespace string) {
	t.Helper()
	// Remove the webhook server's configurations after the server has stopped.
	t.Cleanup(func() {
		api := enforcing.Clientset().AdmissionregistrationV1()
		require.NoError(t,
			api.MutatingWebhookConfigurations().Delete(context.Background(), "sidecar",
				metav1.DeleteOptions{}))
		if err := api.ValidatingWebhookConfigurations().Delete(context.Background(), "sidecar",
			metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
			require.NoError(t, err)
		}
	})
	enforcing.StartWebhook(t, `
apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: WasmAdmissionConfiguration
policies:
- name: sidecar
  module: file://`+modules(t)+`/add-defaults.wasm
  mutating: true
  settings: {sidecar: {name: late, image: "registry.example.com/late:1"}}
  namespaceSelector: {matchLabels: {`+corev1.LabelMetadataName+`: `+namespace+`}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
`, "--configuration-name=sidecar")
}

// Policies whose failures are ignored must not delay a request together beyond its deadline.
func TestRequestsEndAtTheirDeadlines(t *testing.T) {
	err := createConfigMap(t.Context(), configMap(namespaceFor(t, "patient"), "any"))
	require.ErrorContains(t, err,
		"all policies together took longer than limits.requestTimeout allows for a request, 3s")
}
