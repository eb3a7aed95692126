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
	"maps"
	"os"
	"path/filepath"
	"regexp"
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

// The policies' messages.
const (
	refuses, logs = "namespace bare has no label owner",
		"label owner is taken from namespace owned"
	programRefuses, programLogs = "neither the object nor namespace bare has label owner",
		"label owner is inherited from namespace owned: alice"
)

// labelling are implementations of the same rule in each language, and in each execution mode that
// can mutate objects. The rule copies a label from the namespace to an object, denies the object if
// the namespace does not have the label, and logs what it does.
var labelling = []struct {
	name string
	// module is the path of the module in the repository.
	module string
	// grants are the host capabilities that the policy needs to read the namespace.
	grants string
	// refuses and logs are the policy's denial and log line.
	refuses, logs string
}{
	{"rust", "test/policies/label-from-namespace-rust/policy.wasm", "kubernetes/get_resource",
		refuses, logs},
	{"go", "bin/policies/label-from-namespace-go.wasm", "kubernetes/get_resource", refuses, logs},
	{"assemblyscript", "test/policies/label-from-namespace-as/policy.wasm",
		"kubernetes/get_resource", refuses, logs},
	{"c", "test/policies/label-from-namespace-c/policy.wasm", "kubernetes/get_resource", refuses,
		logs},
	{"go-program", "bin/policies/inherit-owner.wasm", "kubernetes/get_resource", programRefuses,
		programLogs},
	{"go-program-optimized", "test/policies/inherit-owner/optimized.wasm",
		"kubernetes/get_resource", programRefuses, programLogs},
	{"rego", "test/policies/label-from-namespace-rego/policy.wasm", "", refuses, logs},
}

// otherModules are the modules of the server's other policies.
var otherModules = map[string]string{
	"team-label":          "test/policies/team-label/policy.wasm",
	"unique-ingress-host": "test/policies/unique-ingress-host/policy.wasm",
}

// inEveryLanguage returns the configuration of a server with all these policies. Policies read the
// cluster as the default user.
func inEveryLanguage(directory string) string {
	var config strings.Builder
	config.WriteString(`
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policies:
    - name: team-label
      module: file://MODULES/team-label.wasm
      mutating: true
      settings: {teams: {blue: alice}}
      objectSelector: {matchLabels: {try: team-label}}
    - name: gatekeeper
      module: file://MODULES/unique-ingress-host.wasm
      contextAwareResources: [{apiVersion: networking.k8s.io/v1, kind: Ingress}]
`)
	for _, p := range labelling {
		fmt.Fprintf(&config, `
    - name: %[1]s
      module: file://MODULES/%[1]s.wasm
      mutating: true
      settings: {label: owner}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: [%[2]s]
      objectSelector: {matchLabels: {try: %[1]s}}
`, p.name, p.grants)
	}
	return strings.ReplaceAll(config.String(), "MODULES", directory)
}

// startInEveryLanguage starts that server, and grants permissions to the policies' user.
func startInEveryLanguage(t *testing.T) (*harness.Server, *kubernetes.Clientset) {
	t.Helper()
	modules := maps.Clone(otherModules)
	for _, p := range labelling {
		modules[p.name] = p.module
	}
	s := harness.Start(t, harness.Options{
		FeatureGate:     true,
		AdmissionConfig: inEveryLanguage(copyModules(t, modules)),
	})
	client := s.Clientset()
	_, err := client.RbacV1().ClusterRoles().Create(t.Context(),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "eyes"}, Rules: []rbacv1.PolicyRule{
			{
				APIGroups: []string{""}, Resources: []string{"namespaces"},
				Verbs: []string{"get", "list"},
			},
			{
				APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"},
				Verbs: []string{"list"},
			},
		}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.RbacV1().ClusterRoleBindings().
		Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "eyes"},
			Subjects: []rbacv1.Subject{{
				APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:wasm-admission",
			}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	for name, labels := range map[string]map[string]string{
		"owned": {"owner": "alice"},
		"bare":  nil,
	} {
		_, err = client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	return s, client
}

// copyModules copies modules of the repository to a directory that only the owner can write to.
func copyModules(t *testing.T, modules map[string]string) (directory string) {
	t.Helper()
	directory = t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	for name, file := range modules {
		wasm, err := os.ReadFile(filepath.Join("..", "..", "..", file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(directory, name+".wasm"), wasm, 0o600))
	}
	return directory
}

// On the server, policies in every language and execution mode deny requests, mutate objects if
// allowed, read the cluster, and log.
func TestEveryLanguage(t *testing.T) {
	s, client := startInEveryLanguage(t)
	requireLogged := func(t *testing.T, policy, text string) {
		t.Helper()
		line := regexp.MustCompile(`"Policy log" policy="` + policy + `" level="info" text="` +
			regexp.QuoteMeta(text) + `"`)
		eventually(t, func() bool { return line.MatchString(s.Logs()) }, text)
	}
	for _, p := range labelling {
		t.Run(p.name, func(t *testing.T) {
			object := &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{
					Name:   p.name,
					Labels: map[string]string{"try": p.name},
				},
			}
			var created *corev1.ConfigMap
			eventually(t, func() bool {
				var err error
				created, err = client.CoreV1().ConfigMaps("owned").Create(t.Context(), object,
					metav1.CreateOptions{})
				return err == nil
			}, "the role must take effect")
			require.Equal(t, map[string]string{"try": p.name, "owner": "alice"}, created.Labels,
				"the label must come from the namespace in the cluster")
			_, err := client.CoreV1().ConfigMaps("bare").Create(t.Context(), object,
				metav1.CreateOptions{})
			require.ErrorContains(t, err, p.refuses)
			requireLogged(t, p.name, p.logs)
		})
	}
	t.Run("rego without the cluster", func(t *testing.T) { checkTeamLabel(t, client) })
	t.Run("gatekeeper", func(t *testing.T) {
		checkUniqueHosts(t, client)
		requireLogged(t, "gatekeeper", "host shop.example.com belongs to Ingress default/first")
	})
	require.NotContains(t, s.Logs(), "panic")
}

func checkTeamLabel(t *testing.T, client *kubernetes.Clientset) {
	t.Helper()
	pod := func(name string, labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
			Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "c", Image: "registry.example.com/web:1"}},
			}}
	}
	created, err := client.CoreV1().Pods("default").Create(t.Context(),
		pod("blue", map[string]string{"try": "team-label", "team": "blue"}), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, "alice", created.Annotations["example.com/owner"])
	_, err = client.CoreV1().Pods("default").Create(t.Context(),
		pod("none", map[string]string{"try": "team-label"}), metav1.CreateOptions{})
	require.ErrorContains(t, err, "label team is missing")
}

// A Gatekeeper policy cannot mutate objects.
func checkUniqueHosts(t *testing.T, client *kubernetes.Clientset) {
	t.Helper()
	ingress := func(name string) *networkingv1.Ingress {
		return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: networkingv1.IngressSpec{
				DefaultBackend: &networkingv1.IngressBackend{
					Service: &networkingv1.IngressServiceBackend{
						Name: "web",
						Port: networkingv1.ServiceBackendPort{Number: 80},
					},
				},
				Rules: []networkingv1.IngressRule{{Host: "shop.example.com"}},
			}}
	}
	_, err := client.NetworkingV1().Ingresses("default").Create(t.Context(), ingress("first"),
		metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, func() bool {
		_, err := client.NetworkingV1().Ingresses("owned").Create(t.Context(), ingress("second"),
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil
	}, "the inventory must follow the cluster")
	_, err = client.NetworkingV1().Ingresses("owned").Create(t.Context(), ingress("second"),
		metav1.CreateOptions{})
	require.ErrorContains(t, err, "host shop.example.com belongs to Ingress default/first")
}
