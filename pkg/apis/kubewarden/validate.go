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
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// defaultTimeoutSeconds is the default of Kubewarden's webhooks. Evaluations must not take longer.
const defaultTimeoutSeconds = 10

// reports are the resources that hold the findings of audits. A namespaced policy must not be able
// to falsify findings about itself.
var reports = map[string][]string{
	"wgpolicyk8s.io": {"policyreports", "clusterpolicyreports"},
	"openreports.io": {"reports", "clusterreports"},
}

// validatePolicy checks what Kubewarden demands of a policy beyond the rest of validation.
func validatePolicy(policy *wasmadmission.Policy, mutating *bool,
	spec *field.Path) field.ErrorList {
	timeout := policy.TimeoutSeconds
	errs := validateSeconds(&policy.TimeoutSeconds, spec.Child("timeoutSeconds"))
	// validation.ValidatePolicy reports an explicit empty list.
	if policy.Rules == nil {
		errs = append(errs,
			field.Required(spec.Child("rules"),
				"write at least one rule: a manifest does not take those of the module"))
	}
	if mutating == nil {
		errs = append(errs,
			field.Required(spec.Child("mutating"),
				"write true if the policy may change objects, or else false"))
	}
	return append(errs, validateTimeoutEval(&policy.TimeoutEvalSeconds, timeout, spec)...)
}

// validateGroup checks what Kubewarden demands of a group beyond the rest of validation.
func validateGroup(group *wasmadmission.PolicyGroup, spec *field.Path) field.ErrorList {
	timeout := group.TimeoutSeconds
	errs := validateSeconds(&group.TimeoutSeconds, spec.Child("timeoutSeconds"))
	sum, most := int32(0), valueOr(timeout, defaultTimeoutSeconds)
	for i := range group.Policies {
		member := &group.Policies[i]
		problems := validateTimeoutEval(&member.TimeoutEvalSeconds, timeout,
			spec.Child("policies").Key(member.Name))
		errs = append(errs, problems...)
		if len(problems) == 0 {
			sum = min(sum+max(valueOr(member.TimeoutEvalSeconds, 0), 0), 1000)
		}
	}
	if sum > most {
		errs = append(errs, field.Invalid(spec.Child("timeoutSeconds"), most,
			fmt.Sprintf(
				"is less than the sum of the members' timeoutEvalSeconds (%d): raise it or lower those",
				sum)))
	}
	return errs
}

func validateTimeoutEval(seconds **int32, timeoutSeconds *int32,
	fldPath *field.Path) field.ErrorList {
	at := fldPath.Child("timeoutEvalSeconds")
	errs := validateSeconds(seconds, at)
	most := valueOr(timeoutSeconds, defaultTimeoutSeconds)
	if len(errs) == 0 && *seconds != nil && **seconds > most {
		errs = append(errs,
			field.Invalid(at, **seconds,
				fmt.Sprintf(
					"is longer than spec.timeoutSeconds (%d): lower it or raise spec.timeoutSeconds",
					most)))
	}
	return errs
}

// validateSeconds checks a timeout against Kubewarden's bounds. If it is out of bounds,
// validateSeconds removes it from the policy, which is bad anyway: otherwise the general validation
// would report it again with different bounds.
func validateSeconds(seconds **int32, fldPath *field.Path) field.ErrorList {
	value := *seconds
	if value == nil || *value >= 2 && *value <= 30 {
		return nil
	}
	*seconds = nil
	return field.ErrorList{field.Invalid(fldPath, *value, "must be between 2 and 30, in seconds")}
}

// confine restricts the rules of a namespaced policy or group to objects in its namespace. It
// returns errors for rules that a namespaced policy cannot have.
func (o Origin) confine(namespace *string, rules []admissionregistrationv1.RuleWithOperations,
	spec *field.Path) field.ErrorList {
	if !isNamespaced(o.Kind) {
		return nil
	}
	*namespace = o.Namespace
	var errs field.ErrorList
	for i := range rules {
		rule, at := &rules[i], spec.Child("rules").Index(i)
		rule.Scope = new(admissionregistrationv1.NamespacedScope)
		if slices.Contains(rule.APIGroups, "*") {
			errs = append(errs,
				field.Forbidden(at.Child("apiGroups"),
					`"*" is for policies of the whole cluster: write the API groups`))
		}
		for j, entry := range rule.Resources {
			resource, _, _ := strings.Cut(entry, "/")
			switch {
			case resource == "*":
				errs = append(errs,
					field.Forbidden(at.Child("resources").Index(j),
						fmt.Sprintf("%q is for policies of the whole cluster: write the resources",
							entry)))
			case isReport(rule.APIGroups, resource):
				errs = append(errs,
					field.Forbidden(at.Child("resources").Index(j),
						fmt.Sprintf("%q is for policies of the whole cluster: remove it", entry)))
			}
		}
	}
	return errs
}

func isReport(groups []string, resource string) bool {
	return slices.ContainsFunc(groups, func(group string) bool {
		return slices.Contains(reports[group], resource)
	})
}
