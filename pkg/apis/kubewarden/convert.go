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

package kubewarden

import (
	"maps"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Manifests do not name host capabilities. Kubewarden's controller grants all of them, and lets a
// policy server restrict those of namespaced policies. Here, namespaced policies never read the
// cluster, and so cannot ask what a user may do in it either.
var (
	clusterCapabilities    = []string{"*"}
	namespacedCapabilities = []string{"crypto/*", "net/*", "oci/*"}
)

func (s *clusterPolicySpec) policy() *wasmadmission.Policy {
	policy := newPolicy(&s.matching, &s.evaluated, s.Mutating)
	policy.HostCapabilities = slices.Clone(clusterCapabilities)
	policy.ContextAwareResources = newResources(s.ContextAwareResources)
	policy.NamespaceSelector = s.NamespaceSelector
	policy.AllowInsideAdmissionControllerNamespace = s.AllowInsideAdmissionControllerNamespace
	return policy
}

func (s *policySpec) policy() *wasmadmission.Policy {
	policy := newPolicy(&s.matching, &s.evaluated, s.Mutating)
	policy.HostCapabilities = slices.Clone(namespacedCapabilities)
	return policy
}

func newPolicy(m *matching, e *evaluated, mutating *bool) *wasmadmission.Policy {
	return &wasmadmission.Policy{
		Module:             moduleOf(e.Module),
		Settings:           settingsOf(e.Settings),
		TimeoutEvalSeconds: e.TimeoutEvalSeconds,
		Mutating:           valueOr(mutating, false),
		ReinvocationPolicy: admissionregistrationv1.IfNeededReinvocationPolicy,
		Message:            m.Message,

		Rules:           m.Rules,
		FailurePolicy:   valueOr(m.FailurePolicy, admissionregistrationv1.Fail),
		MatchPolicy:     valueOr(m.MatchPolicy, admissionregistrationv1.Equivalent),
		ObjectSelector:  m.ObjectSelector,
		MatchConditions: m.MatchConditions,
		Mode:            valueOr(m.Mode, wasmadmission.ModeProtect),

		PolicyServer:    m.PolicyServer,
		SideEffects:     m.SideEffects,
		TimeoutSeconds:  m.TimeoutSeconds,
		BackgroundAudit: m.BackgroundAudit,
	}
}

func (s *clusterGroupSpec) group() *wasmadmission.PolicyGroup {
	group := newGroup(&s.matching, s.Expression)
	group.NamespaceSelector = s.NamespaceSelector
	group.AllowInsideAdmissionControllerNamespace = s.AllowInsideAdmissionControllerNamespace
	for _, name := range slices.Sorted(maps.Keys(s.Policies)) {
		of := s.Policies[name]
		member := newMember(name, &evaluated{of.Module, of.Settings, of.TimeoutEvalSeconds})
		member.ContextAwareResources = newResources(of.ContextAwareResources)
		member.HostCapabilities = slices.Clone(clusterCapabilities)
		group.Policies = append(group.Policies, member)
	}
	return group
}

func (s *groupSpec) group() *wasmadmission.PolicyGroup {
	group := newGroup(&s.matching, s.Expression)
	for _, name := range slices.Sorted(maps.Keys(s.Policies)) {
		of := s.Policies[name]
		member := newMember(name, &of)
		member.HostCapabilities = slices.Clone(namespacedCapabilities)
		group.Policies = append(group.Policies, member)
	}
	return group
}

func newGroup(m *matching, expression string) *wasmadmission.PolicyGroup {
	return &wasmadmission.PolicyGroup{
		Expression: expression,
		Message:    m.Message,

		Rules:           m.Rules,
		FailurePolicy:   valueOr(m.FailurePolicy, admissionregistrationv1.Fail),
		MatchPolicy:     valueOr(m.MatchPolicy, admissionregistrationv1.Equivalent),
		ObjectSelector:  m.ObjectSelector,
		MatchConditions: m.MatchConditions,
		Mode:            valueOr(m.Mode, wasmadmission.ModeProtect),

		PolicyServer:    m.PolicyServer,
		SideEffects:     m.SideEffects,
		TimeoutSeconds:  m.TimeoutSeconds,
		BackgroundAudit: m.BackgroundAudit,
	}
}

func newMember(name string, e *evaluated) wasmadmission.PolicyGroupMember {
	return wasmadmission.PolicyGroupMember{
		Name:               name,
		Module:             moduleOf(e.Module),
		Settings:           settingsOf(e.Settings),
		TimeoutEvalSeconds: e.TimeoutEvalSeconds,
	}
}

func newResources(list []contextAwareResource) []wasmadmission.ContextAwareResource {
	var resources []wasmadmission.ContextAwareResource
	for _, resource := range list {
		resources = append(resources, wasmadmission.ContextAwareResource(resource))
	}
	return resources
}

// moduleOf returns the URI of a module. In manifests, a module without a scheme is in a registry.
func moduleOf(module string) string {
	if module == "" || strings.Contains(module, "://") {
		return module
	}
	return "registry://" + module
}

// settingsOf returns the settings, or {} if there are none.
func settingsOf(settings runtime.RawExtension) runtime.RawExtension {
	if len(settings.Raw) == 0 {
		settings.Raw = []byte("{}")
	}
	return settings
}

func valueOr[T any](pointer *T, value T) T {
	if pointer == nil {
		return value
	}
	return *pointer
}
