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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// This table shows what each exemption covers and what it does not. docs/threat-model.md says what
// follows from that.
func TestTheReachOfExemptions(t *testing.T) {
	exemptions := wasmadmission.Exemptions{
		Usernames:  []string{"root", "system:serviceaccount:ns:robot"},
		Groups:     []string{"admins", "system:serviceaccounts:trusted"},
		Namespaces: []string{"open"},
	}
	configMaps := schema.GroupResource{Resource: "configmaps"}
	namespaces := schema.GroupResource{Resource: "namespaces"}
	for _, test := range []struct {
		name            string
		who             user.DefaultInfo
		resource        schema.GroupResource
		subresource     string
		namespace       string
		object          string
		connect, exempt bool
	}{
		{
			name: "a user, whatever else he is", who: user.DefaultInfo{
				Name:   "root",
				UID:    "any",
				Groups: []string{"any"},
			}, resource: configMaps, namespace: "ns", exempt: true,
		},
		{
			name: "a group of the same name as a user",
			who:  user.DefaultInfo{Name: "a", Groups: []string{"root"}}, resource: configMaps,
			namespace: "ns",
		},
		{
			name: "a user of the same name as a group", who: user.DefaultInfo{Name: "admins"},
			resource: configMaps, namespace: "ns",
		},
		{
			name:     "an extra field",
			who:      user.DefaultInfo{Name: "a", Extra: map[string][]string{"groups": {"admins"}}},
			resource: configMaps, namespace: "ns",
		},
		{
			name: "a service account", who: user.DefaultInfo{
				Name: "system:serviceaccount:ns:robot",
			}, resource: configMaps, namespace: "ns", exempt: true,
		},
		{
			name: "any service account of a namespace",
			who: user.DefaultInfo{
				Name:   "system:serviceaccount:trusted:new",
				Groups: []string{"system:serviceaccounts:trusted"},
			}, resource: configMaps, namespace: "ns", exempt: true,
		},
		{name: "an object in a namespace", resource: configMaps, namespace: "open", exempt: true},
		{
			name: "a subresource in a namespace", resource: schema.GroupResource{
				Resource: "serviceaccounts",
			}, subresource: "token", namespace: "open", exempt: true,
		},
		{
			name: "a connection in a namespace", resource: schema.GroupResource{Resource: "pods"},
			subresource: "exec", namespace: "open", connect: true, exempt: true,
		},
		{
			name: "the namespace itself", resource: namespaces, namespace: "open", object: "open",
			exempt: true,
		},
		{
			name: "a namespace of a name that begins so", resource: namespaces, namespace: "opener",
			object: "opener",
		},
		{
			name: "a cluster-scoped object of that name",
			resource: schema.GroupResource{
				Group:    "rbac.authorization.k8s.io",
				Resource: "clusterroles",
			}, object: "open",
		},
		{
			name: "an object of that name elsewhere", resource: configMaps, namespace: "ns",
			object: "open",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, exemptions,
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
			f.use(t, func(p *wasmadmission.Policy) {
				policy("d", "deny")(p)
				p.Rules = []admissionregistrationv1.RuleWithOperations{{
					Operations: []admissionregistrationv1.OperationType{"*"},
					Rule: admissionregistrationv1.Rule{
						APIGroups:   []string{"*"},
						APIVersions: []string{"*"},
						Resources:   []string{"*/*"},
					},
				}}
			})
			operation := admission.Create
			if test.connect {
				operation = admission.Connect
			}
			// The object does not matter here.
			object := &corev1.ConfigMap{
				TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
				ObjectMeta: metav1.ObjectMeta{Name: test.object, Namespace: test.namespace},
			}
			attr := admission.NewAttributesRecord(object, nil, object.GroupVersionKind(),
				test.namespace, test.object, test.resource.WithVersion("v1"), test.subresource,
				operation, &metav1.CreateOptions{}, false, &test.who)
			if err := f.dispatcher.Validate(t.Context(), attr,
				admission.NewObjectInterfacesFromScheme(scheme.Scheme)); test.exempt {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "denied the request")
			}
		})
	}
}
