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

package scaffolding

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// match makes the new policy see the requests that both the policy and its binding select.
func (c *CELPolicy) match() {
	policy, binding := &admissionregistrationv1.MatchResources{},
		&admissionregistrationv1.MatchResources{}
	if c.policy.Spec.MatchConstraints != nil {
		policy = c.policy.Spec.MatchConstraints
	}
	if c.binding.Spec.MatchResources != nil {
		binding = c.binding.Spec.MatchResources
	}
	const remedy = "a ClusterAdmissionPolicy cannot exclude resources: remove it, and narrow spec.matchConstraints.resourceRules"
	if len(policy.ExcludeResourceRules) > 0 {
		c.fail("the ValidatingAdmissionPolicy's spec.matchConstraints.excludeResourceRules: %s",
			remedy)
	}
	if len(binding.ExcludeResourceRules) > 0 {
		c.fail(
			"the ValidatingAdmissionPolicyBinding's spec.matchResources.excludeResourceRules: %s",
			remedy)
	}
	if len(binding.ResourceRules) > 0 {
		c.fail(
			"the ValidatingAdmissionPolicyBinding's spec.matchResources.resourceRules: a ClusterAdmissionPolicy has one list of rules: narrow spec.matchConstraints.resourceRules of the policy instead")
	}
	if narrower, wider := matchPolicyOf(binding),
		matchPolicyOf(policy); binding.MatchPolicy != nil && narrower != wider {
		c.fail(
			"the ValidatingAdmissionPolicyBinding's spec.matchResources.matchPolicy is %s, and the ValidatingAdmissionPolicy's is %s: make them equal, or leave out the binding's",
			narrower, wider)
	}
	c.spec.MatchPolicy = policy.MatchPolicy
	c.rules(policy.ResourceRules)
	var err error
	if c.spec.NamespaceSelector, err = both(policy.NamespaceSelector,
		binding.NamespaceSelector); err != nil {
		c.fail("namespaceSelector: %w", err)
	}
	c.spec.ObjectSelector, err = both(policy.ObjectSelector, binding.ObjectSelector)
	if err != nil {
		c.fail("objectSelector: %w", err)
	}
}

func (c *CELPolicy) rules(rules []admissionregistrationv1.NamedRuleWithOperations) {
	if len(rules) == 0 {
		c.fail(
			"the ValidatingAdmissionPolicy has no spec.matchConstraints.resourceRules: write which requests it is for")
	}
	for n, rule := range rules {
		if len(rule.ResourceNames) > 0 {
			c.fail(
				"spec.matchConstraints.resourceRules[%d].resourceNames: the rules of a ClusterAdmissionPolicy have no names: write them into spec.matchConditions, such as request.name in ['a', 'b']",
				n)
		}
		c.spec.Rules = append(c.spec.Rules, rule.RuleWithOperations)
	}
}

// matchPolicyOf returns the match policy, including the default.
func matchPolicyOf(
	m *admissionregistrationv1.MatchResources) admissionregistrationv1.MatchPolicyType {
	if m.MatchPolicy == nil {
		return admissionregistrationv1.Equivalent
	}
	return *m.MatchPolicy
}

// both returns a selector for the intersection of two. A missing selector selects everything.
func both(a, b *metav1.LabelSelector) (*metav1.LabelSelector, error) {
	if a == nil || b == nil {
		return cmp.Or(a, b), nil
	}
	labels := maps.Clone(a.MatchLabels)
	for key, value := range b.MatchLabels {
		if other, there := labels[key]; there && other != value {
			return nil, fmt.Errorf(
				"the ValidatingAdmissionPolicy wants the label %s to be %q, and the ValidatingAdmissionPolicyBinding %q, which no object satisfies: make them equal, or remove one",
				key, other, value)
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = value
	}
	return &metav1.LabelSelector{
		MatchLabels:      labels,
		MatchExpressions: slices.Concat(a.MatchExpressions, b.MatchExpressions),
	}, nil
}
