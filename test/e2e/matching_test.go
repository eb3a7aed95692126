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
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	watchtools "k8s.io/client-go/tools/watch"
)

func TestUpdate(t *testing.T) {
	namespace := namespaceFor(t, "team-label")
	object := configMap(namespace, "any", "team", "blue")
	require.NoError(t, createConfigMap(t.Context(), object))
	client := enforcing.Clientset().CoreV1().ConfigMaps(namespace)
	object.Labels["team"] = "red"
	_, err := client.Update(t.Context(), object, metav1.UpdateOptions{})
	require.NoError(t, err)
	object.Labels["team"] = "no 1"
	object.Labels = map[string]string{}
	_, err = client.Update(t.Context(), object, metav1.UpdateOptions{})
	require.ErrorContains(t, err, `WasmAdmission policy "team-label" denied the request`)
}

// A policy gets the object of a DELETE as oldObject.
func TestDelete(t *testing.T) {
	namespace := namespaceFor(t, "protect")
	require.NoError(t, createConfigMap(t.Context(), configMap(namespace, "free")))
	require.NoError(t,
		createConfigMap(t.Context(), configMap(namespace, "kept", "example.com/protected", "true")))
	client := enforcing.Clientset().CoreV1().ConfigMaps(namespace)
	require.NoError(t, client.Delete(t.Context(), "free", metav1.DeleteOptions{}))
	err := client.Delete(t.Context(), "kept", metav1.DeleteOptions{})
	requireDenied(t, err, 403,
		`WasmAdmission policy "protect" denied the request: ConfigMap "kept" is protected from deletion by its label "example.com/protected"`)
}

// Policies can protect the objects that configure admission, which webhooks cannot.
func TestAdmissionConfigurationCanBeProtected(t *testing.T) {
	client := enforcing.Clientset().AdmissionregistrationV1().ValidatingAdmissionPolicies()
	_, err := client.Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name:   "important",
			Labels: map[string]string{"example.com/protected": ""},
		},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{"CREATE"},
					Rule: admissionregistrationv1.Rule{
						APIGroups:   []string{""},
						APIVersions: []string{"v1"},
						Resources:   []string{"secrets"},
					},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{Expression: "true"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	err = client.Delete(t.Context(), "important", metav1.DeleteOptions{})
	requireDenied(t, err, 403,
		`WasmAdmission policy "protect" denied the request: ValidatingAdmissionPolicy "important" is protected from deletion by its label "example.com/protected"`)
}

func TestConnect(t *testing.T) {
	exec := func(namespace string) error {
		client := enforcing.Clientset().CoreV1()
		_, err := client.Pods(namespace).
			Create(t.Context(), pod("target", "registry.example.com/a:1"), metav1.CreateOptions{})
		require.NoError(t, err)
		return client.RESTClient().Post().Namespace(namespace).Resource("pods").Name("target").
			SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{
				Container: "c",
				Command:   []string{"sh"},
				Stdout:    true,
			}, scheme.ParameterCodec).
			Do(t.Context()).Error()
	}
	requireDenied(t, exec(namespaceFor(t, "no-exec")), 403,
		`WasmAdmission policy "no-exec" denied the request: connecting to pods/exec of "target" is not allowed`)
	require.NotContains(t, exec(namespaceFor(t, "elsewhere")).Error(), "WasmAdmission",
		"there must be no node to connect to")
}

func TestSubresources(t *testing.T) {
	t.Run("scale", func(t *testing.T) {
		namespace := namespaceFor(t, "no-scale")
		client := enforcing.Clientset().AppsV1().Deployments(namespace)
		labels := map[string]string{"app": "a"}
		deployment, err := client.Create(t.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "any"},
			Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec:       pod("", "registry.example.com/a:1").Spec,
				},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		deployment.Spec.Replicas = new(int32(2))
		_, err = client.Update(t.Context(), deployment, metav1.UpdateOptions{})
		require.NoError(t, err, "the rule only names the subresource")
		scale, err := client.GetScale(t.Context(), "any", metav1.GetOptions{})
		require.NoError(t, err)
		scale.Spec.Replicas = 3
		_, err = client.UpdateScale(t.Context(), "any", scale, metav1.UpdateOptions{})
		requireDenied(t, err, 451, deniedBy("no-scale"))
	})
	t.Run("status", func(t *testing.T) {
		namespace := namespaceFor(t, "no-status")
		client := enforcing.Clientset().CoreV1().Pods(namespace)
		created, err := client.Create(t.Context(), pod("any", "registry.example.com/a:1"),
			metav1.CreateOptions{})
		require.NoError(t, err)
		created.Status.Phase = corev1.PodRunning
		_, err = client.UpdateStatus(t.Context(), created, metav1.UpdateOptions{})
		requireDenied(t, err, 451, deniedBy("no-status"))
	})
	t.Run("ephemeralcontainers", func(t *testing.T) {
		namespace := namespaceFor(t, "anything")
		client := enforcing.Clientset().CoreV1().Pods(namespace)
		created, err := client.Create(t.Context(), pod("any", "registry.example.com/a:1"),
			metav1.CreateOptions{})
		require.NoError(t, err)
		created.Spec.EphemeralContainers =
			[]corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
				Name: "debug", Image: "registry.example.com/debug:1",
				TerminationMessagePolicy: corev1.TerminationMessageReadFile,
				SecurityContext:          &corev1.SecurityContext{Privileged: new(true)},
			}}}
		_, err = client.UpdateEphemeralContainers(t.Context(), "any", created,
			metav1.UpdateOptions{})
		require.ErrorContains(t, err,
			`WasmAdmission policy "no-privileged-pods" denied the request`)
		created.Spec.EphemeralContainers[0].SecurityContext.Privileged = nil
		_, err = client.UpdateEphemeralContainers(t.Context(), "any", created,
			metav1.UpdateOptions{})
		require.NoError(t, err)
	})
}

// A policy gets objects in the version that its rule names, whatever the version of the request.
func TestEquivalentVersions(t *testing.T) {
	autoscaler := func(namespace string) error {
		_, err := enforcing.Clientset().AutoscalingV2().HorizontalPodAutoscalers(namespace).
			Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
				ObjectMeta: metav1.ObjectMeta{Name: "any"},
				Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
					ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{
						APIVersion: "apps/v1",
						Kind:       "Deployment",
						Name:       "any",
					},
					MaxReplicas: 3,
				},
			}, metav1.CreateOptions{})
		return err
	}
	requireDenied(t, autoscaler(namespaceFor(t, "no-autoscaling")), 451, deniedBy("no-autoscaling"))
	require.NoError(t, autoscaler(namespaceFor(t, "no-autoscaling-exact")))
}

// A rule for one of the two groups that serve events matches both.
func TestEquivalentGroups(t *testing.T) {
	namespace := namespaceFor(t, "no-events")
	_, err := enforcing.Clientset().EventsV1().Events(namespace).
		Create(t.Context(), &eventsv1.Event{
			ObjectMeta:          metav1.ObjectMeta{Name: "any"},
			EventTime:           metav1.NowMicro(),
			ReportingController: "example.com/e2e", ReportingInstance: "e2e",
			Action: "Test", Reason: "Test", Type: "Normal",
			Regarding: corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: "any"},
		}, metav1.CreateOptions{})
	requireDenied(t, err, 451, deniedBy("no-events"))
}

var (
	definitions = schema.GroupVersionResource{
		Group:    "apiextensions.k8s.io",
		Version:  "v1",
		Resource: "customresourcedefinitions",
	}
	widgetsV1 = schema.GroupVersionResource{
		Group:    "e2e.example.com",
		Version:  "v1",
		Resource: "widgets",
	}
	widgetsV2 = schema.GroupVersionResource{
		Group:    "e2e.example.com",
		Version:  "v2",
		Resource: "widgets",
	}
)

// Custom resources are matched and converted too, even if they are defined after the server starts.
func TestCustomResources(t *testing.T) {
	client := enforcing.Dynamic()
	version := func(name string, storage bool) any {
		return map[string]any{
			"name": name, "served": true, "storage": storage,
			"schema": map[string]any{
				"openAPIV3Schema": map[string]any{
					"type":                                 "object",
					"x-kubernetes-preserve-unknown-fields": true,
				},
			},
		}
	}
	_, err := client.Resource(definitions).
		Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
			"metadata": map[string]any{"name": "widgets.e2e.example.com"},
			"spec": map[string]any{
				"group": "e2e.example.com", "scope": "Namespaced",
				"names": map[string]any{
					"plural":   "widgets",
					"singular": "widget",
					"kind":     "Widget",
					"listKind": "WidgetList",
				},
				"versions": []any{version("v1", true), version("v2", false)},
			},
		}}, metav1.CreateOptions{})
	require.NoError(t, err)
	waitForDefinition(t, "widgets.e2e.example.com")

	for _, resource := range []schema.GroupVersionResource{widgetsV1, widgetsV2} {
		widget := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": resource.GroupVersion().String(), "kind": "Widget",
			"metadata": map[string]any{"name": "any"},
		}}
		_, err = client.Resource(resource).Namespace(namespaceFor(t, "no-widgets")).
			Create(t.Context(), widget, metav1.CreateOptions{})
		requireDenied(t, err, 451, deniedBy("no-widgets"))
		_, err = client.Resource(resource).Namespace(namespaceFor(t, "widgets-welcome")).
			Create(t.Context(), widget, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// waitForDefinition waits until a custom resource is served.
func waitForDefinition(t *testing.T, name string) {
	t.Helper()
	client := enforcing.Dynamic().Resource(definitions)
	options := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	list, err := client.List(t.Context(), options)
	require.NoError(t, err)
	options.ResourceVersion = list.GetResourceVersion()
	watcher, err := client.Watch(t.Context(), options)
	require.NoError(t, err)
	established := func(object *unstructured.Unstructured) bool {
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, condition := range conditions {
			if c, ok := condition.(map[string]any); ok && c["type"] == "Established" &&
				c["status"] == "True" {
				return true
			}
		}
		return false
	}
	if established(&list.Items[0]) {
		return
	}
	_, err = watchtools.UntilWithoutRetry(t.Context(), watcher,
		func(event watch.Event) (bool, error) {
			object, ok := event.Object.(*unstructured.Unstructured)
			return ok && established(object), nil
		})
	require.NoError(t, err)
}

func TestNamespaceSelector(t *testing.T) {
	require.Error(t, createConfigMap(t.Context(), configMap(namespaceFor(t, "own-message"), "any")))
	require.NoError(t,
		createConfigMap(t.Context(), configMap(namespaceFor(t, "not-own-message"), "any")))
}

func TestObjectSelector(t *testing.T) {
	namespace := namespaceFor(t, "object-selector")
	require.NoError(t, createConfigMap(t.Context(), configMap(namespace, "free")))
	requireDenied(t, createConfigMap(t.Context(), configMap(namespace, "bound", "deny", "")), 451,
		deniedBy("object-selector"))
}

// Conditions can use the namespace object, as in a ValidatingAdmissionPolicy and unlike in
// webhooks.
func TestMatchConditionsOnTheNamespace(t *testing.T) {
	namespace := namespaceFor(t, "namespace-condition")
	require.NoError(t, createConfigMap(t.Context(), configMap(namespace, "free")))
	object := configMap(namespace, "bound")
	object.Data = map[string]string{"a": "b"}
	requireDenied(t, createConfigMap(t.Context(), object), 451, deniedBy("namespace-condition"))
}

// A failed condition that is ignored causes a warning.
func TestMatchConditionsThatFail(t *testing.T) {
	namespace := namespaceFor(t, "failing-condition")
	output, err := enforcing.Kubectl(t.Context(), "create", "configmap", "any",
		"--namespace="+namespace)
	require.NoError(t, err)
	require.Zero(t, output.ExitCode, output.Stderr)
	require.Contains(t, output.Stderr,
		`Warning: WasmAdmission policy "failing-condition" failed and was ignored: policy "failing-condition": evaluating the match conditions: `)
}

func TestMatchConditions(t *testing.T) {
	namespace := namespaceFor(t, "match-conditions")
	require.NoError(t, createConfigMap(t.Context(), configMap(namespace, "free")))
	marked := configMap(namespace, "marked")
	marked.Data = map[string]string{"deny": ""}
	requireDenied(t, createConfigMap(t.Context(), marked), 451, deniedBy("match-conditions"))

	config := enforcing.RESTConfig()
	config.Impersonate.UserName, config.Impersonate.Groups = "trusted-user",
		[]string{"system:masters"}
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().ConfigMaps(namespace).Create(t.Context(), marked,
		metav1.CreateOptions{})
	require.NoError(t, err)
}

// No rule matches the reviews with which the apiserver answers questions about authorization.
func TestReviewsAreNeverEvaluated(t *testing.T) {
	output, err := enforcing.Kubectl(t.Context(), "auth", "can-i", "create", "pods")
	require.NoError(t, err)
	require.Equal(t, "yes\n", output.Stdout, output.Stderr)
	output, err = enforcing.Kubectl(t.Context(), "auth", "whoami")
	require.NoError(t, err)
	require.Zero(t, output.ExitCode, output.Stderr)
}
