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

package unmatched

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	"k8s.io/utils/ptr"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

var served = Served{
	Resources: []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "pods", Namespaced: true}, {Name: "pods/status", Namespaced: true},
			{Name: "namespaces"}, {Name: "nodes"},
		}},
		{
			GroupVersion: "apps/v1",
			APIResources: []metav1.APIResource{{Name: "deployments", Namespaced: true}},
		},
		{
			GroupVersion: "authentication.k8s.io/v1",
			APIResources: []metav1.APIResource{{Name: "tokenreviews"}},
		},
	},
	Unknown:  []schema.GroupVersion{{Group: "metrics.k8s.io", Version: "v1beta1"}},
	Excluded: []schema.GroupResource{{Group: "authentication.k8s.io", Resource: "tokenreviews"}},
}

func TestRulesThatMatchNothing(t *testing.T) {
	for name, test := range map[string]struct {
		group, version, resource string
		operation                admissionregistrationv1.OperationType
		scope                    *admissionregistrationv1.ScopeType
		namespace                string
		matches                  bool
	}{
		"a resource":       {version: "v1", resource: "pods", matches: true},
		"its subresources": {version: "v1", resource: "pods/*", matches: true},
		"a subresource":    {version: "v1", resource: "*/status", matches: true},
		"everything": {
			group: "*", version: "*", resource: "*/*", matches: true,
		},
		"an operation": {
			version: "v1", resource: "pods", operation: "CONNECT", matches: true,
		},
		"a kind":        {version: "v1", resource: "Pod"},
		"a singular":    {version: "v1", resource: "pod"},
		"another group": {version: "v1", resource: "deployments"},
		"a version that is gone": {
			group: "apps", version: "v1beta1", resource: "deployments",
		},
		"an unknown subresource": {version: "v1", resource: "pods/stats"},
		"what admission never sees": {
			group: "authentication.k8s.io", version: "v1", resource: "tokenreviews",
		},
		"a group that does not answer": {
			group: "metrics.k8s.io", version: "v1beta1", resource: "anything", matches: true,
		},
		"another version of that": {
			group: "metrics.k8s.io", version: "v1", resource: "anything",
		},
		"the scope": {
			version: "v1", resource: "nodes", scope: ptr.To(admissionregistrationv1.ClusterScope),
			matches: true,
		},
		"the other scope": {
			version: "v1", resource: "nodes",
			scope: ptr.To(admissionregistrationv1.NamespacedScope),
		},
		"in a namespace": {
			version: "v1", resource: "pods", namespace: "ns", matches: true,
		},
		"in a namespace, what is in none": {version: "v1", resource: "nodes", namespace: "ns"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.operation == "" {
				test.operation = "*"
			}
			policy := &wasmadmission.Policy{Name: "p", Namespace: test.namespace,
				Rules: []admissionregistrationv1.RuleWithOperations{{
					Operations: []admissionregistrationv1.OperationType{test.operation},
					Rule: admissionregistrationv1.Rule{
						APIGroups: []string{test.group}, APIVersions: []string{test.version},
						Resources: []string{test.resource}, Scope: test.scope,
					},
				}}}
			lines := served.find(policy)
			if test.matches {
				require.Empty(t, lines)
				return
			}
			require.Len(t, lines, 1)
			require.Contains(t, lines[0],
				`policy "p": rules[0] matches nothing that is served and enforces nothing: apiGroups ["`+
					test.group+`"]`)
		})
	}
}

// recorder records how many rules match nothing.
type recorder struct {
	unmatched []int
}

func (r *recorder) SetUnmatchedRules(count int) { r.unmatched = append(r.unmatched, count) }

func TestWarnings(t *testing.T) {
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	ctx := klog.NewContext(t.Context(), logger)
	said := func() int {
		return strings.Count(logger.GetSink().(ktesting.Underlier).GetBuffer().String(),
			`resources ["widgets"]`)
	}
	answer, err := &Served{}, errors.New("not ready")
	r := &recorder{}
	c := New(Options{
		Recorder: r,
		Served:   func(context.Context) (*Served, error) { return answer, err },
	})
	c.policies =
		[]wasmadmission.Policy{{Name: "p", Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{"CREATE"},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{"example.com"},
				APIVersions: []string{"v1"},
				Resources:   []string{"widgets"},
			},
		}}}}
	require.Equal(t, retryEvery, c.check(ctx), "nothing is said before anything is known")
	require.Zero(t, said())

	err = nil
	require.Equal(t, checkEvery, c.check(ctx))
	require.Equal(t, checkEvery, c.check(ctx))
	require.Equal(t, 1, said(), "once")

	answer = &Served{
		Resources: []*metav1.APIResourceList{{
			GroupVersion: "example.com/v1", APIResources: []metav1.APIResource{{Name: "widgets"}},
		}},
	}
	c.check(ctx)
	require.Equal(t, []int{1, 1, 0}, r.unmatched)
	answer = &Served{}
	c.check(ctx)
	require.Equal(t, 2, said(), "it is news again")
}
