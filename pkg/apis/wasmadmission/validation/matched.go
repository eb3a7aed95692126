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

package validation

import (
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	failurePolicies = []admissionregistrationv1.FailurePolicyType{
		admissionregistrationv1.Fail, admissionregistrationv1.Ignore,
	}
	matchPolicies = []admissionregistrationv1.MatchPolicyType{
		admissionregistrationv1.Equivalent, admissionregistrationv1.Exact,
	}
)

// matched holds the fields that policies and groups share: which requests they evaluate, and what
// happens to a request if they fail.
type matched struct {
	rules             []admissionregistrationv1.RuleWithOperations
	failurePolicy     admissionregistrationv1.FailurePolicyType
	matchPolicy       admissionregistrationv1.MatchPolicyType
	namespaceSelector *metav1.LabelSelector
	objectSelector    *metav1.LabelSelector
	matchConditions   []admissionregistrationv1.MatchCondition
}

func validateMatched(m *matched, fldPath *field.Path) field.ErrorList {
	errs := ValidateRules(m.rules, fldPath.Child("rules"))
	errs = append(errs,
		validateSelector(m.namespaceSelector, fldPath.Child("namespaceSelector"))...)
	errs = append(errs, validateSelector(m.objectSelector, fldPath.Child("objectSelector"))...)
	errs = append(errs,
		validateMatchConditions(m.matchConditions, fldPath.Child("matchConditions"))...)
	errs = append(errs,
		validateChoice(m.failurePolicy, failurePolicies, fldPath.Child("failurePolicy"))...)
	return append(errs,
		validateChoice(m.matchPolicy, matchPolicies, fldPath.Child("matchPolicy"))...)
}

func validateSelector(selector *metav1.LabelSelector, fldPath *field.Path) field.ErrorList {
	return metav1validation.ValidateLabelSelector(selector,
		metav1validation.LabelSelectorValidationOptions{}, fldPath)
}

func validateChoice[T ~string](value T, choices []T, fldPath *field.Path) field.ErrorList {
	if slices.Contains(choices, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(fldPath, value, choices)}
}
