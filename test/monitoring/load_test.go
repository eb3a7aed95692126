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

package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// configuration is for a server on which everything can happen that a metric records. HOME is a
// directory, HOST is a registry, and KEYS is a verification config that applies to no module. A
// policy for ConfigMaps gets only those with its label.
const configuration = `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policyDirectory: HOME/policies.d
    stateDirectory: HOME/state
    breakGlassFile: HOME/break-glass.yaml
    reload: {keepLastGood: true}
    circuitBreaker: {failures: 20, probeInterval: 1s}
    limits: {moduleEvaluations: 2, policyEvaluations: 6}
    exemptions: {namespaces: [kube-system]}
    sources: {insecure: ["HOST"]}
    verification: {required: false, config: KEYS, trustRoot: {publicGood: true}}
    capabilities:
      kubernetes: {user: eyes, memorySize: 1Mi}
      oci: {registries: ["HOST"], cacheTTL: 1s, failureTTL: 1s, staleTTL: 10m, lookTimeout: 1s}
    policies:
    - name: no-privileged-pods
      module: file://HOME/pod-privileged.wasm
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
    - name: no-latest-tag
      module: file://HOME/no-latest-tag.wasm
      mode: monitor
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
    - name: always-pull
      module: file://HOME/always-pull.wasm
      mutating: true
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
    - name: owner-from-namespace
      module: file://HOME/label-from-namespace-rego.wasm
      mutating: true
      settings: {label: owner}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      objectSelector: {matchLabels: {try: owner}}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: lists-namespaces
      module: file://HOME/list-resources.wasm
      settings: {api_version: v1, kind: Namespace, then: read}
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: ["kubernetes/*"]
      objectSelector: {matchLabels: {try: lists-namespaces}}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: lists-too-much
      module: file://HOME/list-resources.wasm
      failurePolicy: Ignore
      settings: {api_version: v1, kind: ConfigMap, then: read}
      contextAwareResources: [{apiVersion: v1, kind: ConfigMap}]
      hostCapabilities: ["kubernetes/*"]
      objectSelector: {matchLabels: {try: lists-too-much}}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: traps
      module: file://HOME/trap.wasm
      failurePolicy: Ignore
      objectSelector: {matchLabels: {try: traps}}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: never-ends
      module: file://HOME/spin.wasm
      timeoutEvalSeconds: 2
      objectSelector: {matchLabels: {try: never-ends}}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: chats
      module: file://HOME/answer.wasm
      settings: {accepted: true, audit_annotations: {"not a key": any}, warnings: [WARNINGS]}
      objectSelector: {matchLabels: {try: chats}}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE]}]
    - name: matches-nothing
      module: file://HOME/answer.wasm
      settings: {accepted: true}
      rules: [{apiGroups: [""], apiVersions: [v1], resources: [confgmaps], operations: [CREATE]}]
    - name: asks-registries
      module: file://HOME/wapc.wasm
      hostCapabilities: ["oci/*"]
      rules: [{apiGroups: [monitoring.example.com], apiVersions: [v1], resources: [questions], operations: [CREATE]}]
`

// modules are the modules of the policies.
var modules = []string{
	"policies/pod-privileged/policy.wasm", "policies/no-latest-tag/policy.wasm",
	"policies/always-pull/policy.wasm", "policies/label-from-namespace-rego/policy.wasm",
	"wat/accept.wasm", "wat/deny.wasm", "wat/list-resources.wasm", "wat/trap.wasm", "wat/spin.wasm",
	"wat/answer.wasm", "../bin/callers/wapc.wasm",
}

var questions = schema.GroupVersionResource{
	Group:    "monitoring.example.com",
	Version:  "v1",
	Resource: "questions",
}

// load is a server and the load on it.
type load struct {
	home     string
	server   *harness.Server
	registry *registry.Registry
	client   *kubernetes.Clientset
	dynamic  *dynamic.DynamicClient
	// calls are the host calls about the registry that guests make.
	calls []any
}

func newLoad(t *testing.T) *load {
	t.Helper()
	l := &load{home: t.TempDir(), registry: registry.Start(t, registry.Options{})}
	require.NoError(t, os.Chmod(l.home, 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(l.home, "policies.d"), 0o700))
	for _, module := range modules {
		wasm, err := os.ReadFile("../" + module)
		require.NoError(t, err)
		name := filepath.Base(module)
		if name == "policy.wasm" {
			name = filepath.Base(filepath.Dir(module)) + ".wasm"
		}
		require.NoError(t, os.WriteFile(filepath.Join(l.home, name), wasm, 0o600))
	}
	text := strings.NewReplacer("HOME", l.home, "HOST", l.registry.Host, "KEYS",
		signing.NewKey(t).Config(), "WARNINGS", strings.Repeat("mind this, ", 100)+"and that").
		Replace(configuration)
	l.server = harness.Start(t, harness.Options{FeatureGate: true, AdmissionConfig: text})
	config := l.server.RESTConfig()
	config.WarningHandler = rest.NoWarnings{}
	l.client, l.dynamic = kubernetes.NewForConfigOrDie(config), dynamic.NewForConfigOrDie(config)
	l.fillRegistry(t)
	l.fillCluster(t)
	return l
}

// write writes a file for the server, with HOME replaced by the directory.
func (l *load) write(t *testing.T, name, content string) {
	t.Helper()
	temporary := filepath.Join(l.home, ".new")
	require.NoError(t,
		os.WriteFile(temporary, []byte(strings.ReplaceAll(content, "HOME", l.home)), 0o600))
	require.NoError(t, os.Rename(temporary, filepath.Join(l.home, name)))
}

func (l *load) remove(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(l.home, name)))
}

// fillRegistry pushes a signed image, and prepares the host calls that ask about it.
func (l *load) fillRegistry(t *testing.T) {
	t.Helper()
	key, foreign := signing.NewKey(t), signing.NewKey(t)
	manifest := l.registry.Push(t, "app", "v1", []byte("\x00asm"))
	l.registry.PushReferrer(t, "app", manifest, registry.BundleMediaType,
		key.Bundle(t, manifest, nil))
	image := l.registry.Host + "/app:v1"
	ask := func(operation string, payload any) {
		content, err := json.Marshal(payload)
		require.NoError(t, err)
		text, err := json.Marshal(map[string][]byte{
			"binding":   []byte("kubewarden"),
			"namespace": []byte("oci"),
			"operation": []byte(operation),
			"payload":   content,
		})
		require.NoError(t, err)
		var call map[string]any
		require.NoError(t, json.Unmarshal(text, &call))
		l.calls = append(l.calls, call)
	}
	ask("v1/manifest_digest", image)
	ask("v1/oci_manifest", image)
	for _, k := range []*signing.Key{key, foreign} {
		ask("v2/verify", map[string]any{
			"type":        "SigstorePubKeyVerify",
			"image":       image,
			"pub_keys":    []string{k.PEM},
			"annotations": nil,
		})
	}
}

// fillCluster creates the objects that policies look up, and the resource that requests are about.
func (l *load) fillCluster(t *testing.T) {
	t.Helper()
	_, err := l.client.RbacV1().ClusterRoleBindings().
		Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "eyes"},
			RoleRef: rbacv1.RoleRef{
				APIGroup: rbacv1.GroupName,
				Kind:     "ClusterRole",
				Name:     "system:aggregate-to-view",
			},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eyes"}}},
			metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = l.client.CoreV1().Namespaces().
		Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "shop", Labels: map[string]string{"owner": "team"},
			Annotations: map[string]string{
				"long": strings.Repeat("enough to be parsed once for all ", 500),
			},
		}}, metav1.CreateOptions{})
	require.NoError(t, err)
	for n := range 4 {
		_, err = l.client.CoreV1().ConfigMaps("shop").Create(t.Context(),
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("large-%d", n)},
				Data: map[string]string{"text": strings.Repeat("x", 700<<10)}},
			metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err = l.dynamic.Resource(schema.GroupVersionResource{
		Group:    "apiextensions.k8s.io",
		Version:  "v1",
		Resource: "customresourcedefinitions",
	}).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "questions.monitoring.example.com"},
		"spec": map[string]any{"group": questions.Group, "scope": "Cluster",
			"names": map[string]any{"plural": "questions", "kind": "Question"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{
					"openAPIV3Schema": map[string]any{
						"type":                                 "object",
						"x-kubernetes-preserve-unknown-fields": true,
					},
				}}}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := l.dynamic.Resource(questions).List(t.Context(), metav1.ListOptions{})
		return err == nil
	}, time.Minute, 100*time.Millisecond, "the custom resource must be served")
}

// dry makes requests stop after admission.
var dry = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

func (l *load) pod(t *testing.T, image string, privileged bool) {
	_, _ = l.client.CoreV1().Pods("shop").Create(t.Context(),
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "any-"}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "c", Image: image,
				SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
			}},
		}}, dry)
}

func (l *load) configMap(t *testing.T, namespace, try string) {
	_, _ = l.client.CoreV1().ConfigMaps(namespace).
		Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: "any-",
				Labels:       map[string]string{"try": try},
			},
		}, dry)
}

// touchNamespace changes a namespace that policies see.
func (l *load) touchNamespace(t *testing.T, round int) {
	_, _ = l.client.CoreV1().Namespaces().Patch(t.Context(), "shop", types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{"round":"%d"}}}`, round),
		metav1.PatchOptions{})
}

func (l *load) question(t *testing.T) {
	_, _ = l.dynamic.Resource(questions).
		Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "monitoring.example.com/v1", "kind": "Question",
			"metadata": map[string]any{"generateName": "any-"}, "calls": l.calls,
		}}, dry)
}

// rounds is the duration of the load, in seconds.
const rounds = 90

// more returns the manifest of a policy that matches no request.
func more(module string, generation int) string {
	return fmt.Sprintf(`apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: more, annotations: {generation: "%d"}}
spec:
  module: file://HOME/%s
  mutating: false
  settings: {generation: %[1]d}
  rules: [{apiGroups: [example.com], apiVersions: [v1], resources: [nothings], operations: [CREATE]}]
`, generation, module)
}

// happens are the events on the server, keyed by round.
var happens = map[int]func(*testing.T, *load){
	5:  func(t *testing.T, l *load) { l.write(t, "policies.d/more.yaml", more("accept.wasm", 1)) },
	10: func(t *testing.T, l *load) { l.write(t, "policies.d/more.yaml", more("deny.wasm", 2)) },
	15: func(t *testing.T, l *load) { l.write(t, "policies.d/bad.yaml", "kind: Nonsense\n") },
	30: func(t *testing.T, l *load) { l.remove(t, "policies.d/bad.yaml") },
	40: func(t *testing.T, l *load) {
		l.write(t, "break-glass.yaml",
			fmt.Sprintf(
				"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\nuntil: %s\npolicies: [no-privileged-pods]\nreason: to see it\n",
				time.Now().Add(time.Hour).Format(time.RFC3339)))
	},
	55: func(t *testing.T, l *load) { l.remove(t, "break-glass.yaml") },
	60: func(t *testing.T, l *load) { l.write(t, "break-glass.yaml", "kind: Nonsense\n") },
	57: func(t *testing.T, l *load) { l.write(t, "policies.d/more.yaml", more("accept.wasm", 3)) },
	62: func(_ *testing.T, l *load) { l.registry.Stop() },
	65: func(t *testing.T, l *load) { l.remove(t, "break-glass.yaml") },
}

// run makes everything happen. It ignores the responses to requests, because this test is about
// metrics and other tests check responses.
func (l *load) run(t *testing.T) {
	t.Helper()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var requests sync.WaitGroup
	for round := range rounds {
		if happen := happens[round]; happen != nil {
			happen(t, l)
		}
		for n := range 12 + 8*(round%20)/20 {
			requests.Go(func() {
				l.pod(t, [...]string{"registry.example.com/web:1.0", "web"}[n%2], n%4 == 0)
			})
		}
		for _, try := range []string{
			"owner", "owner", "lists-namespaces", "lists-namespaces", "lists-too-much", "traps",
			"chats",
		} {
			requests.Go(func() { l.configMap(t, "shop", try) })
		}
		requests.Go(func() { l.configMap(t, "kube-system", "traps") })
		requests.Go(func() { l.question(t) })
		requests.Go(func() { l.touchNamespace(t, round) })
		if round%10 == 5 {
			for range 9 {
				requests.Go(func() { l.configMap(t, "shop", "never-ends") })
			}
		}
		<-ticker.C
	}
	requests.Wait()
}

// keepMetrics saves the server's WasmAdmission metrics for the tests of wasmctl top.
func (l *load) keepMetrics(t *testing.T) {
	t.Helper()
	metrics, err := l.server.Metrics(t.Context())
	require.NoError(t, err)
	var own strings.Builder
	for line := range strings.Lines(metrics) {
		if strings.Contains(line, "apiserver_wasm_admission_") ||
			strings.Contains(line, "process_start_time_seconds") {
			own.WriteString(line)
		}
	}
	require.NoError(t,
		os.WriteFile("../../cmd/wasmctl/internal/top/testdata/metrics.txt", []byte(own.String()),
			0o600))
	require.NoError(t, os.Chmod("../../cmd/wasmctl/internal/top/testdata/metrics.txt", 0o644))
}
