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
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Warnings returns what a valid configuration probably does not mean, one line each:
// rules that can lock everyone out, and fields that have no effect in process.
func Warnings(config *wasmadmission.WasmAdmissionConfiguration) []string {
	var warnings []string
	for i := range config.Policies {
		policy := &config.Policies[i]
		fldPath := PolicyPath(i, policy.Name)
		warnings = append(warnings, WarningsForRules(policy.Rules, policy.FailurePolicy, fldPath.Child("rules"))...)
		for _, inert := range []struct {
			name string
			set  bool
		}{
			{"policyServer", policy.PolicyServer != nil},
			{"sideEffects", policy.SideEffects != nil},
			{"timeoutSeconds", policy.TimeoutSeconds != nil},
			{"backgroundAudit", policy.BackgroundAudit != nil},
			{"allowInsideAdmissionControllerNamespace", policy.AllowInsideAdmissionControllerNamespace != nil},
		} {
			if inert.set {
				warnings = append(warnings, fmt.Sprintf("%s: has no effect in process: remove the field", fldPath.Child(inert.name)))
			}
		}
	}
	return warnings
}

// WarningsForRules returns a line for each rule that matches every resource although
// the policy's failures reject requests: when such a policy fails, nobody can mend the
// cluster through its API. The rules are those of a policy or of a module's metadata.
func WarningsForRules(rules []admissionregistrationv1.RuleWithOperations, failurePolicy admissionregistrationv1.FailurePolicyType, fldPath *field.Path) []string {
	if failurePolicy != admissionregistrationv1.Fail {
		return nil
	}
	var warnings []string
	for i, rule := range rules {
		everyGroup := slices.Contains(rule.APIGroups, "*")
		everyResource := slices.Contains(rule.Resources, "*") || slices.Contains(rule.Resources, "*/*")
		if everyGroup && everyResource {
			warnings = append(warnings, fmt.Sprintf("%s: matches every resource with failurePolicy Fail, so that a failing policy "+
				"locks everyone out: add exemptions for administrators, nodes and the apiserver, or set failurePolicy to Ignore", fldPath.Index(i)))
		}
	}
	return warnings
}
