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
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
)

// mutators are further policies of the enforcing server: policies that mutate objects, and policies
// whose mutations are not applied.
const mutators = `
- name: defaults
  module: MODULES/add-defaults.wasm
  mutating: true
  settings: &settings
    labels: {team: none}
    annotations: {example.com/seen: "yes"}
    sidecar: {name: proxy, image: registry.example.com/proxy:2}
    remove: [spec.nodeName]
    maximums: {spec.replicas: 10}
  namespaceSelector: {matchLabels: {try: defaults}}
  rules: &rules
  - {apiGroups: [""], apiVersions: [v1], resources: [pods, configmaps], operations: [CREATE, UPDATE]}
  - {apiGroups: [apps], apiVersions: [v1], resources: [deployments, deployments/scale], operations: [CREATE, UPDATE]}
  - {apiGroups: [e2e.example.com], apiVersions: [v1], resources: [gadgets, gadgets/scale], operations: [CREATE, UPDATE]}
- name: defaults-once
  module: MODULES/add-defaults.wasm
  mutating: true
  reinvocationPolicy: Never
  settings: *settings
  namespaceSelector: {matchLabels: {try: defaults-once}}
  rules: *rules
- name: defaults-monitored
  module: MODULES/add-defaults.wasm
  mutating: true
  mode: monitor
  settings: *settings
  namespaceSelector: {matchLabels: {try: monitored}}
  rules: *rules
- name: second-look
  module: MODULES/contains.wasm
  mutating: true
  settings: {text: registry.example.com/proxy:2}
  namespaceSelector: {matchLabels: {try: defaults}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
- name: unknown-field
  module: MODULES/answer.wasm
  mutating: true
  settings:
    accepted: true
    mutated_object: {apiVersion: e2e.example.com/v1, kind: Gadget, metadata: {name: pruned, namespace: pruning}, spec: {replicas: 2, unknown: 1}}
  objectSelector: {matchLabels: {prune: me}}
  rules: [{apiGroups: [e2e.example.com], apiVersions: [v1], resources: [gadgets], operations: [CREATE]}]
- name: typo
  module: MODULES/answer.wasm
  mutating: true
  settings: {accepted: true, mutated_object: {apiVersion: v1, kind: ConfigMap, metadata: {lables: {a: b}}}}
  namespaceSelector: {matchLabels: {try: typo}}
- name: meddler
  module: MODULES/answer.wasm
  settings: {accepted: true, mutated_object: {}}
  namespaceSelector: {matchLabels: {try: meddler}}
- name: meddler-with-licence
  module: MODULES/answer.wasm
  mutating: true
  settings: {accepted: true, mutated_object: {apiVersion: v1, kind: Secret}}
  namespaceSelector: {matchLabels: {try: meddler-with-licence}}
- name: annotator
  module: MODULES/answer.wasm
  mode: monitor
  settings: {accepted: false, message: "no", warnings: ["mind this"], audit_annotations: {who: me}}
  namespaceSelector: {matchLabels: {try: monitored}}
`

// auditWrites is an audit policy that records all writes to the enforcing server with their
// requests.
const auditWrites = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Request, verbs: [create, update, patch, delete]}
- {level: None}
`

// auditEvent waits for the audit event of the request that wrote an object. It ignores dry runs.
func auditEvent(t *testing.T, verb, namespace, name string) (found auditv1.Event) {
	t.Helper()
	require.Eventually(t, func() bool {
		events, err := enforcing.AuditEvents()
		require.NoError(t, err)
		for _, event := range events {
			ref, dry := event.ObjectRef, strings.Contains(event.RequestURI, "dryRun=")
			if event.Verb == verb && !dry && ref != nil && ref.Namespace == namespace &&
				ref.Name == name {
				found = event
				return true
			}
		}
		return false
	}, time.Minute, 20*time.Millisecond)
	return found
}

func TestPodsAreChanged(t *testing.T) {
	namespace := namespaceFor(t, "defaults")
	object := pod("web", "registry.example.com/web:1")
	object.Spec.NodeName = "somewhere"
	created, err := enforcing.Clientset().CoreV1().Pods(namespace).Create(t.Context(), object,
		metav1.CreateOptions{})
	require.NoError(t, err, "the next policy must see the mutated object")
	require.Equal(t, map[string]string{"team": "none"}, created.Labels)
	require.Equal(t, map[string]string{"example.com/seen": "yes"}, created.Annotations)
	require.Empty(t, created.Spec.NodeName)
	require.Len(t, created.Spec.Containers, 2)
	sidecar := created.Spec.Containers[1]
	require.Equal(t, "registry.example.com/proxy:2", sidecar.Image)
	require.Equal(t, corev1.PullIfNotPresent, sidecar.ImagePullPolicy,
		"defaults must be set in added parts")

	event := auditEvent(t, "create", namespace, "web")
	require.Contains(t, event.Annotations["patch.wasm.admission.k8s.io/round_0_index_0"],
		`"path":"/metadata/labels"`)
	var list struct {
		Policies []struct {
			Policy, Module, Verdict, Mode string
			Mutated                       bool
			Fuel                          int64
		}
	}
	require.NoError(t,
		json.Unmarshal([]byte(event.Annotations["wasm.admission.k8s.io/mutate.round_0"]), &list))
	require.Len(t, list.Policies, 2)
	require.Equal(t, "defaults", list.Policies[0].Policy)
	require.Equal(t, "allowed", list.Policies[0].Verdict)
	require.Equal(t, "protect", list.Policies[0].Mode)
	require.True(t, list.Policies[0].Mutated)
	require.False(t, list.Policies[1].Mutated)
	require.Positive(t, list.Policies[0].Fuel)
	require.Contains(t, event.Annotations, "wasm.admission.k8s.io/validate")
}

func TestDryRunsAreChanged(t *testing.T) {
	client := enforcing.Clientset().CoreV1().ConfigMaps(namespaceFor(t, "defaults"))
	created, err := client.Create(t.Context(), configMap("", "dry"),
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	require.Equal(t, "none", created.Labels["team"])
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       pod("", "registry.example.com/web:1").Spec,
			},
		},
	}
}

func TestWorkloadsAndScalesAreChanged(t *testing.T) {
	client := enforcing.Clientset().AppsV1().Deployments(namespaceFor(t, "defaults"))
	created, err := client.Create(t.Context(), deployment("web", 500), metav1.CreateOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 10, *created.Spec.Replicas)
	require.Len(t, created.Spec.Template.Spec.Containers, 2)

	scale, err := client.UpdateScale(t.Context(), "web", &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: created.Namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: 5},
	}, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 5, scale.Spec.Replicas)
	scale.Spec.Replicas = 99
	scale, err = client.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 10, scale.Spec.Replicas)
}

var gadgets = schema.GroupVersionResource{
	Group:    "e2e.example.com",
	Version:  "v1",
	Resource: "gadgets",
}

// defineGadgets defines a custom resource with a structural schema, pruning, a default, and a scale
// subresource.
func defineGadgets(t *testing.T) {
	t.Helper()
	field := func(kind string, more ...any) map[string]any {
		f := map[string]any{"type": kind}
		for n := 0; n < len(more); n += 2 {
			f[more[n].(string)] = more[n+1]
		}
		return f
	}
	_, err := enforcing.Dynamic().Resource(definitions).
		Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": map[string]any{"name": "gadgets.e2e.example.com"},
			"spec": map[string]any{
				"group": "e2e.example.com", "scope": "Namespaced",
				"names": map[string]any{
					"plural":   "gadgets",
					"singular": "gadget",
					"kind":     "Gadget",
					"listKind": "GadgetList",
				},
				"versions": []any{map[string]any{
					"name": "v1", "served": true, "storage": true,
					"subresources": map[string]any{
						"scale": map[string]any{
							"specReplicasPath":   ".spec.replicas",
							"statusReplicasPath": ".status.replicas",
						},
					},
					"schema": map[string]any{"openAPIV3Schema": field("object", "properties",
						map[string]any{
							"spec": field("object", "properties", map[string]any{
								"replicas": field("integer"), "nodeName": field("string"),
								"size": field("integer", "default", int64(3)),
							}),
							"status": field("object", "properties",
								map[string]any{"replicas": field("integer")}),
						})},
				}},
			},
		}}, metav1.CreateOptions{})
	require.NoError(t, err)
	waitForDefinition(t, "gadgets.e2e.example.com")
}

func gadget(name string, spec map[string]any, labels ...string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "e2e.example.com/v1", "kind": "Gadget",
		"metadata": map[string]any{"name": name}, "spec": spec,
	}}
	if len(labels) > 0 {
		object.SetLabels(map[string]string{labels[0]: labels[1]})
	}
	return object
}

func TestCustomResourcesAreChanged(t *testing.T) {
	defineGadgets(t)
	client := enforcing.Dynamic().Resource(gadgets).Namespace(namespaceFor(t, "defaults"))
	created, err := client.Create(t.Context(),
		gadget("one", map[string]any{"replicas": int64(50), "nodeName": "somewhere"}),
		metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"replicas": int64(10), "size": int64(3)},
		created.Object["spec"])
	require.Equal(t, "none", created.GetLabels()["team"])

	scaled, err := client.Patch(t.Context(), "one", types.MergePatchType,
		[]byte(`{"spec":{"replicas":77}}`), metav1.PatchOptions{}, "scale")
	require.NoError(t, err)
	replicas, _, err := unstructured.NestedInt64(scaled.Object, "spec", "replicas")
	require.NoError(t, err)
	require.EqualValues(t, 10, replicas)

	_, err = enforcing.Clientset().CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "pruning"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	created, err = enforcing.Dynamic().Resource(gadgets).Namespace("pruning").
		Create(t.Context(), gadget("pruned", map[string]any{"replicas": int64(1)}, "prune", "me"),
			metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"replicas": int64(2), "size": int64(3)}, created.Object["spec"],
		"unknown fields must be pruned, and defaults set")
	require.Empty(t, created.GetLabels())
}

// The manager that applies an object owns its fields, but not those that a policy adds.
func TestServerSideApply(t *testing.T) {
	namespace := namespaceFor(t, "defaults")
	client := enforcing.Clientset().CoreV1().ConfigMaps(namespace)
	apply := func(value string) *corev1.ConfigMap {
		applied, err := client.Apply(t.Context(),
			applycorev1.ConfigMap("applied", namespace).WithData(map[string]string{"a": value}),
			metav1.ApplyOptions{FieldManager: "me"})
		require.NoError(t, err)
		return applied
	}
	first := apply("1")
	require.Equal(t, "none", first.Labels["team"])
	require.Equal(t, first.ResourceVersion, apply("1").ResourceVersion,
		"applying the same object again must change nothing")
	second := apply("2")
	require.Equal(t, "none", second.Labels["team"])
	var owned string
	for _, entry := range second.ManagedFields {
		if entry.Manager == "me" && entry.Operation == metav1.ManagedFieldsOperationApply {
			owned = string(entry.FieldsV1.GetRawBytes())
		}
	}
	require.JSONEq(t, `{"f:data":{"f:a":{}}}`, owned)
}

// If another plugin mutates an object after our policies, the policies that ask for reinvocation
// see it again.
func TestReinvocation(t *testing.T) {
	addLatecomer(t)
	for label, replicas := range map[string]int32{"defaults": 10, "defaults-once": 50} {
		namespace := namespaceFor(t, label)
		client := enforcing.Clientset().AppsV1().Deployments(namespace)
		require.Eventually(t, func() bool {
			dry, err := client.Create(t.Context(), deployment("late", 5),
				metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			require.NoError(t, err)
			return dry.Annotations["late"] == "yes"
		}, time.Minute, 50*time.Millisecond, "the MutatingAdmissionPolicy must take effect")
		created, err := client.Create(t.Context(), deployment("late", 5), metav1.CreateOptions{})
		require.NoError(t, err)
		require.Equal(t, replicas, *created.Spec.Replicas)
		require.Equal(t, "none", created.Labels["team"])
		event := auditEvent(t, "create", namespace, "late")
		require.Contains(t, event.Annotations, "wasm.admission.k8s.io/mutate.round_0")
		require.Equal(t, label == "defaults",
			event.Annotations["wasm.admission.k8s.io/mutate.round_1"] != "")
	}
}

// addLatecomer adds a MutatingAdmissionPolicy, which runs after the plugin, that raises the
// replicas of Deployments named late.
func addLatecomer(t *testing.T) {
	t.Helper()
	client := enforcing.Clientset().AdmissionregistrationV1()
	_, err := client.MutatingAdmissionPolicies().
		Create(t.Context(), &admissionregistrationv1.MutatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "latecomer"},
			Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
				ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
				MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
					ResourceNames: []string{"late"},
					RuleWithOperations: admissionregistrationv1.RuleWithOperations{
						Operations: []admissionregistrationv1.OperationType{
							admissionregistrationv1.Create,
						},
						Rule: admissionregistrationv1.Rule{
							APIGroups:   []string{"apps"},
							APIVersions: []string{"v1"},
							Resources:   []string{"deployments"},
						},
					},
				}}},
				Mutations: []admissionregistrationv1.Mutation{{
					PatchType: admissionregistrationv1.PatchTypeApplyConfiguration,
					ApplyConfiguration: &admissionregistrationv1.ApplyConfiguration{
						Expression: `Object{metadata: Object.metadata{annotations: {"late": "yes"}}, spec: Object.spec{replicas: 50}}`,
					},
				}},
			},
		}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = client.MutatingAdmissionPolicyBindings().
		Create(t.Context(), &admissionregistrationv1.MutatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "latecomer"},
			Spec: admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{
				PolicyName: "latecomer",
			},
		}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t,
			client.MutatingAdmissionPolicyBindings().Delete(context.Background(), "latecomer",
				metav1.DeleteOptions{}))
		require.NoError(t,
			client.MutatingAdmissionPolicies().Delete(context.Background(), "latecomer",
				metav1.DeleteOptions{}))
	})
}

// A misspelled field in a mutated object is not dropped, but is an error of the policy.
func TestMutationWithAnUnknownField(t *testing.T) {
	err := createConfigMap(t.Context(), configMap(namespaceFor(t, "typo"), "any"))
	requireDenied(t, err, 500,
		`WasmAdmission policy "typo" failed: policy "typo": mutated object: unknown field "metadata.lables"`)
}

// A policy in monitor mode neither denies nor mutates. Its warnings reach the client, and its
// verdicts are recorded.
func TestMonitorMode(t *testing.T) {
	namespace := namespaceFor(t, "monitored")
	output, err := enforcing.Kubectl(t.Context(), "create", "configmap", "watched",
		"--namespace="+namespace)
	require.NoError(t, err)
	require.Zero(t, output.ExitCode, output.Stderr)
	require.Contains(t, output.Stderr, "Warning: mind this")
	stored, err := enforcing.Clientset().CoreV1().ConfigMaps(namespace).Get(t.Context(), "watched",
		metav1.GetOptions{})
	require.NoError(t, err)
	require.Empty(t, stored.Labels)

	event := auditEvent(t, "create", namespace, "watched")
	require.Equal(t, "me", event.Annotations["annotator.policy.wasm.admission.k8s.io/who"])
	require.Contains(t, event.Annotations["wasm.admission.k8s.io/validate"],
		`"mode":"monitor","verdict":"denied"`)
	require.Contains(t, event.Annotations["wasm.admission.k8s.io/mutate.round_0"],
		`"mode":"monitor","verdict":"allowed"`)
	require.NotContains(t, event.Annotations["wasm.admission.k8s.io/mutate.round_0"],
		`"mutated":true`)
	metrics, err := enforcing.Metrics(t.Context())
	require.NoError(t, err)
	require.Contains(t, metrics,
		`apiserver_wasm_admission_evaluation_duration_seconds_count{operation="CREATE",outcome="denied",policy="annotator",rejected="false",type="validate"}`)
	require.Contains(t, metrics,
		`apiserver_wasm_admission_mutations_total{operation="CREATE",policy="defaults"}`)
}

func TestInvalidMutations(t *testing.T) {
	requireDenied(t, createConfigMap(t.Context(), configMap(namespaceFor(t, "meddler"), "any")),
		400,
		`WasmAdmission policy "meddler" denied the request: Request rejected by policy meddler. `+
			`The policy attempted to mutate the request, but it is currently configured to not allow mutations.`)
	namespace := namespaceFor(t, "meddler-with-licence")
	err := createConfigMap(t.Context(), configMap(namespace, "any"))
	require.ErrorContains(t, err,
		`WasmAdmission policy "meddler-with-licence" failed: policy "meddler-with-licence": mutated object: its kind is "Secret" of "v1", but the request has "ConfigMap" of "v1"`)

	client := enforcing.Clientset().CoreV1()
	// Without the label, the policy does not match the namespace, once the server has seen the
	// change.
	label := func(value string, seen func() bool) {
		patch := []byte(`{"metadata":{"labels":{"try":` + value + `}}}`)
		_, err := client.Namespaces().Patch(t.Context(), namespace, types.MergePatchType, patch,
			metav1.PatchOptions{})
		require.NoError(t, err)
		require.Eventually(t, seen, 20*time.Second, 20*time.Millisecond)
	}
	label("null", func() bool {
		_, err := client.ConfigMaps(namespace).Create(t.Context(), configMap(namespace, "any"),
			metav1.CreateOptions{})
		return err == nil
	})
	label(`"meddler-with-licence"`, func() bool {
		return client.ConfigMaps(namespace).Delete(t.Context(), "any",
			metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}) != nil
	})
	requireDenied(t,
		client.ConfigMaps(namespace).Delete(t.Context(), "any", metav1.DeleteOptions{}), 400,
		`WasmAdmission policy "meddler-with-licence" denied the request: `+
			`Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed`)
}
