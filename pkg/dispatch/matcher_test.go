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

package dispatch_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Kubernetes matches resources and subresources as the reference says.
func TestResourcesAndSubresources(t *testing.T) {
	for _, test := range []struct {
		rule, resource, subresource string
		denied                      bool
	}{
		{"configmaps", "configmaps", "", true},
		{"configmaps", "configmaps", "status", false},
		{"configmaps/*", "configmaps", "", true},
		{"configmaps/*", "configmaps", "status", true},
		{"configmaps/*", "secrets", "status", false},
		{"*/status", "configmaps", "", false},
		{"*/status", "configmaps", "status", true},
		{"*", "configmaps", "", true},
		{"*", "configmaps", "status", false},
		{"*/*", "configmaps", "", true},
		{"*/*", "configmaps", "status", true},
	} {
		f := newFixture(t, wasmadmission.Exemptions{})
		f.use(t, guest("d", "deny", func(p *wasmadmission.Policy) {
			p.Rules = []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"*"},
				Rule: admissionregistrationv1.Rule{
					APIGroups:   []string{""},
					APIVersions: []string{"v1"},
					Resources:   []string{test.rule},
				},
			}}
		}))
		object := &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"},
		}
		attr := admission.NewAttributesRecord(object, nil, object.GroupVersionKind(), "ns", "any",
			corev1.SchemeGroupVersion.WithResource(test.resource), test.subresource,
			admission.Create, &metav1.CreateOptions{}, false, somebody)
		err := f.dispatcher.Validate(t.Context(), attr,
			admission.NewObjectInterfacesFromScheme(scheme.Scheme))
		require.Equal(t, test.denied, err != nil, "%+v: %v", test, err)
	}
}
