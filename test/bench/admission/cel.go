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

package main

import (
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// createCELPolicies creates the CEL policies, each with its binding.
func createCELPolicies(ctx context.Context, client kubernetes.Interface) error {
	for n := range most(byCEL) {
		policy := celPolicy(n)
		binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: policy.ObjectMeta,
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: policy.Name,
				ValidationActions: []admissionregistrationv1.ValidationAction{
					admissionregistrationv1.Deny,
				},
			},
		}
		api := client.AdmissionregistrationV1()
		if _, err := api.ValidatingAdmissionPolicies().
			Create(ctx, policy, metav1.CreateOptions{}); err != nil {
			return err
		}
		if _, err := api.ValidatingAdmissionPolicyBindings().
			Create(ctx, binding, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// celPolicy returns a policy that denies Pods with a privileged container of any kind, like the
// Rust policy.
func celPolicy(n int) *admissionregistrationv1.ValidatingAdmissionPolicy {
	var rules []string
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		rules = append(rules,
			fmt.Sprintf(
				"object.spec.?%s.orValue([]).all(c, !c.?securityContext.?privileged.orValue(false))",
				kind))
	}
	return &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bench-%d.example.com", n)},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: namespacesOf(byCEL, n),
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{
						admissionregistrationv1.Create,
					},
					Rule: admissionregistrationv1.Rule{
						APIGroups:   []string{""},
						APIVersions: []string{"v1"},
						Resources:   []string{"pods"},
					},
				}}},
			},
			Validations: []admissionregistrationv1.Validation{{
				Expression: strings.Join(rules, " && "),
				Message:    "Privileged container is not allowed",
			}},
		},
	}
}
