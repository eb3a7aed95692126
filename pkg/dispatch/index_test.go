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

package dispatch

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook"
)

// equivalents are the object interfaces of a server with this mapper.
type equivalents struct {
	admission.ObjectInterfaces
	mapper runtime.EquivalentResourceMapper
}

func (e equivalents) GetEquivalentResourceMapper() runtime.EquivalentResourceMapper {
	return e.mapper
}

// serving returns the object interfaces of a server in which the core group and events.k8s.io serve
// the same events.
func serving() admission.ObjectInterfaces {
	registry :=
		runtime.NewEquivalentResourceRegistryWithIdentity(
			func(resource schema.GroupResource) string {
				if resource.Resource == "events" {
					return "events"
				}
				return ""
			})
	for resource, kind := range map[schema.GroupVersionResource]string{
		{Version: "v1", Resource: "events"}:                         "Event",
		{Group: "events.k8s.io", Version: "v1", Resource: "events"}: "Event",
		{
			Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers",
		}: "HorizontalPodAutoscaler",
		{
			Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers",
		}: "HorizontalPodAutoscaler",
		{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}: "Lease",
	} {
		registry.RegisterKindFor(resource, "", resource.GroupVersion().WithKind(kind))
	}
	return equivalents{mapper: registry}
}

func hookFor(match admissionregistrationv1.MatchPolicyType,
	rules ...admissionregistrationv1.RuleWithOperations) *hook {
	return &hook{
		accessor: webhook.NewValidatingWebhookAccessor("", "",
			&admissionregistrationv1.ValidatingWebhook{MatchPolicy: &match, Rules: rules}),
	}
}

func rule(group, resource string,
	operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{group},
			APIVersions: []string{"v1"},
			Resources:   []string{resource},
		},
	}
}

func attributes(group, resource, subresource string,
	operation admission.Operation) admission.Attributes {
	return admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, "ns", "name",
		schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}, subresource,
		operation, nil, false, nil)
}

func TestIndex(t *testing.T) {
	const (
		exact      = admissionregistrationv1.Exact
		equivalent = admissionregistrationv1.Equivalent
		create     = admissionregistrationv1.Create
		update     = admissionregistrationv1.Update
		all        = admissionregistrationv1.OperationAll
	)
	hooks := []*hook{
		0: hookFor(exact, rule("", "pods", create, update)),
		1: hookFor(exact, rule("", "pods/exec", admissionregistrationv1.Connect)),
		2: hookFor(exact, rule("*", "deployments", create)),
		3: hookFor(exact, rule("apps", "*/scale", update)),
		4: hookFor(exact, rule("", "events", create)),
		5: hookFor(equivalent, rule("", "events", create)),
		6: hookFor(exact, rule("", "secrets", all), rule("apps", "statefulsets", create)),
	}
	for _, test := range []struct {
		group, resource, subresource string
		operation                    admission.Operation
		want                         []int
	}{
		{"", "pods", "", admission.Create, []int{0}},
		{"", "pods", "", admission.Delete, nil},
		{"", "pods", "status", admission.Update, []int{0}}, // too many, never too few
		{"", "pods", "exec", admission.Connect, []int{1}},
		{"apps", "deployments", "", admission.Create, []int{2}},
		{"apps", "deployments", "scale", admission.Update, []int{3}},
		{"other.example.com", "deployments", "", admission.Create, []int{2}},
		{"apps", "statefulsets", "", admission.Create, []int{6}},
		{"", "secrets", "", admission.Delete, []int{6}},
		{"", "secrets", "", admission.Connect, []int{6}},
		{"", "events", "", admission.Create, []int{4, 5}},
		{"events.k8s.io", "events", "", admission.Create, []int{4, 5}},
		{"events.k8s.io", "events", "", admission.Update, nil},
		{"coordination.k8s.io", "leases", "", admission.Update, nil},
		{"", "pods", "", "PATCH", nil},
	} {
		got := newIndex(hooks).
			lookup(attributes(test.group, test.resource, test.subresource, test.operation),
				serving())
		require.Equal(t, test.want, slices.Collect(got.all()), "%s %s/%s/%s", test.operation,
			test.group, test.resource, test.subresource)
	}
}

func TestIndexOfWildcards(t *testing.T) {
	index := newIndex([]*hook{
		hookFor(admissionregistrationv1.Exact,
			rule("*", "*/*", admissionregistrationv1.OperationAll)),
	})
	for _, operation := range operations {
		require.Equal(t, []int{
			0,
		},
			slices.Collect(index.lookup(attributes("any.example.com", "things", "part", operation),
				serving()).all()))
	}
}

// More than 64 policies need more than one word of a bitset.
func TestIndexOfManyPolicies(t *testing.T) {
	var hooks []*hook
	for n := range 200 {
		resource := "pods"
		if n%3 == 0 {
			resource = "secrets"
		}
		hooks = append(hooks,
			hookFor(admissionregistrationv1.Exact,
				rule([]string{"", "*"}[n%2], resource, admissionregistrationv1.Create)))
	}
	got := slices.Collect(newIndex(hooks).lookup(attributes("", "secrets", "", admission.Create),
		serving()).all())
	require.Len(t, got, 67)
	require.Equal(t, 198, got[66])
}

func TestRequestsThatNoPolicyWantsCostNoMemory(t *testing.T) {
	index := newIndex([]*hook{
		hookFor(admissionregistrationv1.Equivalent,
			rule("", "pods", admissionregistrationv1.Create)),
	})
	lease, interfaces := attributes("coordination.k8s.io", "leases", "", admission.Update),
		serving()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if index.lookup(lease, interfaces) != nil {
			t.Error("a lease is no pod")
		}
	}))
}
