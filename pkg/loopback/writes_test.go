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

package loopback_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/wasm-admission/wasm-admission/pkg/loopback"
)

func attributes(operation admission.Operation, group, resource, subresource, namespace, name string,
	object, old runtime.Object) admission.Attributes {
	return admission.NewAttributesRecord(object, old, schema.GroupVersionKind{}, namespace, name,
		schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}, subresource,
		operation, nil, false, apiserver)
}

func TestWrites(t *testing.T) {
	const create, update, remove = admission.Create, admission.Update, admission.Delete
	for _, test := range []struct {
		name                                    string
		operation                               admission.Operation
		group, resource, subresource, namespace string
		object                                  string
		writes                                  bool
	}{
		{"a system namespace", create, "", "namespaces", "", "kube-system", "kube-system", true},
		{"another namespace", create, "", "namespaces", "", "other", "other", false},
		{"a system namespace is not removed", remove, "", "namespaces", "", "kube-system",
			"kube-system", false},
		{"its own service", create, "", "services", "", "default", "kubernetes", true},
		{"its name elsewhere", create, "", "services", "", "other", "kubernetes", false},
		{"another service", create, "", "services", "", "default", "other", false},
		{"a proxy to its service", admission.Connect, "", "services", "proxy", "default",
			"kubernetes", false},
		{"a connection to its service", admission.Connect, "", "services", "", "default",
			"kubernetes", false},
		{"a pod", create, "", "pods", "", "kube-system", "any", false},
		{"an exec", admission.Connect, "", "pods", "exec", "kube-system", "any", false},
		{"a token", create, "", "serviceaccounts", "token", "kube-system", "any", false},
		{"an identity lease", update, "coordination.k8s.io", "leases", "", "kube-system",
			"apiserver-x", true},
		{"a status", create, "coordination.k8s.io", "leases", "", "kube-system",
			"wasm-admission-apiserver-x", true},
		{"the end of a status", remove, "coordination.k8s.io", "leases", "", "kube-system",
			"wasm-admission-apiserver-x", true},
		{"a status elsewhere", update, "coordination.k8s.io", "leases", "", "default",
			"wasm-admission-apiserver-x", false},
		{"a lease that begins alike", update, "coordination.k8s.io", "leases", "", "kube-system",
			"wasm-admission-x", false},
		{"another lease", update, "coordination.k8s.io", "leases", "", "kube-system",
			"kube-scheduler", false},
		{"a bootstrap role", update, "rbac.authorization.k8s.io", "clusterroles", "", "", "edit",
			true},
		{"a role of the system", create, "rbac.authorization.k8s.io", "clusterroles", "", "",
			"system:node", true},
		{"another role", create, "rbac.authorization.k8s.io", "clusterroles", "", "", "owner",
			false},
		{"a role elsewhere", create, "rbac.authorization.k8s.io", "roles", "", "default",
			"system:any", false},
		{"the status of a quota", update, "", "resourcequotas", "status", "any", "any", true},
		{"a quota", update, "", "resourcequotas", "", "any", "any", false},
		{"the status of a definition", update, "apiextensions.k8s.io", "customresourcedefinitions",
			"status", "", "any", true},
		{"a definition", update, "apiextensions.k8s.io", "customresourcedefinitions", "", "", "any",
			false},
		{"a mandatory flow schema", create, "flowcontrol.apiserver.k8s.io", "flowschemas", "", "",
			"exempt", true},
		{"a suggested priority level", update, "flowcontrol.apiserver.k8s.io",
			"prioritylevelconfigurations", "", "", "global-default", true},
		{"another flow schema", create, "flowcontrol.apiserver.k8s.io", "flowschemas", "", "",
			"any", false},
		{"a webhook", create, "admissionregistration.k8s.io", "validatingwebhookconfigurations", "",
			"", "any", false},
		{"a resource of another group", create, "example.com", "namespaces", "", "kube-system",
			"kube-system", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.writes,
				loopback.Writes(attributes(test.operation, test.group, test.resource,
					test.subresource, test.namespace, test.object, nil, nil)))
		})
	}
}

func TestOnlyTheUseOfALegacyTokenIsWritten(t *testing.T) {
	secret := func(adjust func(*corev1.Secret)) *corev1.Secret {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "token", Namespace: "ns", ResourceVersion: "1"},
			Data:       map[string][]byte{"token": []byte("a")},
		}
		if adjust != nil {
			adjust(s)
		}
		return s
	}
	used := func(s *corev1.Secret) {
		s.Labels = map[string]string{"kubernetes.io/legacy-token-last-used": "2026-01-01"}
		s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-apiserver"}}
	}
	for _, test := range []struct {
		name       string
		old, after runtime.Object
		writes     bool
	}{
		{"the label", secret(nil), secret(used), true},
		{"another label", secret(nil),
			secret(func(s *corev1.Secret) { used(s); s.Labels["a"] = "b" }), false},
		{"the data", secret(nil),
			secret(func(s *corev1.Secret) { used(s); s.Data["token"] = []byte("b") }), false},
		{"an annotation", secret(nil),
			secret(func(s *corev1.Secret) { used(s); s.Annotations = map[string]string{"a": "b"} }),
			false},
		{"no old object", nil, secret(used), false},
		{"no object", secret(nil), nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.writes,
				loopback.Writes(attributes(admission.Update, "", "secrets", "", "ns", "token",
					test.after, test.old)))
		})
	}
	require.False(t,
		loopback.Writes(attributes(admission.Create, "", "secrets", "", "ns", "token", secret(used),
			secret(nil))))
}

func TestOnlyItsOwnRegistrationsAreWritten(t *testing.T) {
	own := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:   "v1.apps",
			Labels: map[string]string{"kube-aggregator.kubernetes.io/automanaged": "onstart"},
		},
	}
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "v1.apps"}}
	api := func(operation admission.Operation, object, old runtime.Object) bool {
		return loopback.Writes(attributes(operation, "apiregistration.k8s.io", "apiservices", "",
			"", "v1.apps", object, old))
	}
	require.True(t, api(admission.Create, own, nil))
	require.False(t, api(admission.Create, other, nil))
	require.True(t, api(admission.Delete, nil, own))
	require.False(t, api(admission.Delete, own, other), "the object that is removed counts")
	require.False(t, api(admission.Delete, nil, nil))
}

func TestOnlyItsOwnFlowControlIsRemoved(t *testing.T) {
	schema := func(value string) runtime.Object {
		return &flowcontrolv1.FlowSchema{
			ObjectMeta: metav1.ObjectMeta{
				Annotations: map[string]string{"apf.kubernetes.io/autoupdate-spec": value},
			},
		}
	}
	remove := func(old runtime.Object) bool {
		return loopback.Writes(attributes(admission.Delete, "flowcontrol.apiserver.k8s.io",
			"flowschemas", "", "", "formerly", nil, old))
	}
	require.True(t, remove(schema("true")))
	require.False(t, remove(schema("false")))
	require.False(t, remove(nil))
}
