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
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/groupexpression"
)

// Warnings returns one line for each part of a valid configuration that is probably a mistake:
// rules that can lock everyone out, and fields that have no effect in process or next to other
// fields.
func Warnings(config *wasmadmission.WasmAdmissionConfiguration) []string {
	var warnings []string
	for i := range config.Policies {
		policy := &config.Policies[i]
		warnings = append(warnings,
			WarningsForPolicy(policy, config, PolicyPath(i, policy.Name))...)
	}
	for i := range config.PolicyGroups {
		group := &config.PolicyGroups[i]
		warnings = append(warnings,
			WarningsForPolicyGroup(group, config, PolicyGroupPath(i, group.Name))...)
	}
	whole := config.Limits.RequestTimeout
	if config.Limits.EvaluationTimeout.Duration > whole.Duration {
		warnings = append(warnings,
			fmt.Sprintf("limits.evaluationTimeout: is longer than limits.requestTimeout (%s), "+
				"which ends evaluations first: raise one or lower the other",
				short(whole.Duration)))
	}
	return warnings
}

// WarningsForPolicy returns one line for each part of a valid policy that is probably a mistake.
func WarningsForPolicy(policy *wasmadmission.Policy,
	config *wasmadmission.WasmAdmissionConfiguration, fldPath *field.Path) []string {
	warnings := WarningsForRules(policy.Rules, policy.FailurePolicy, fldPath.Child("rules"))
	warnings = append(warnings,
		warningsForTimeout(policy.TimeoutEvalSeconds, config,
			fldPath.Child("timeoutEvalSeconds"))...)
	if !policy.Mutating &&
		policy.ReinvocationPolicy == admissionregistrationv1.NeverReinvocationPolicy {
		warnings = append(warnings,
			fmt.Sprintf("%s: has no effect on a policy that does not mutate: remove the field",
				fldPath.Child("reinvocationPolicy")))
	}
	return append(warnings, warningsForInert(fldPath, []inert{
		{"policyServer", policy.PolicyServer != nil},
		{"sideEffects", policy.SideEffects != nil},
		{"timeoutSeconds", policy.TimeoutSeconds != nil},
		{"backgroundAudit", policy.BackgroundAudit != nil},
		{"allowInsideAdmissionControllerNamespace",
			policy.AllowInsideAdmissionControllerNamespace != nil},
	})...)
}

// WarningsForPolicyGroup returns one line for each part of a valid group that is probably a
// mistake.
func WarningsForPolicyGroup(group *wasmadmission.PolicyGroup,
	config *wasmadmission.WasmAdmissionConfiguration, fldPath *field.Path) []string {
	warnings := WarningsForRules(group.Rules, group.FailurePolicy, fldPath.Child("rules"))
	var called []string
	if program, err := groupexpression.Compile(group.Expression, memberNames(group)); err == nil {
		called = program.Members()
	}
	for i := range group.Policies {
		member := &group.Policies[i]
		at := fldPath.Child("policies").Key(member.Name)
		if !slices.Contains(called, member.Name) {
			warnings = append(warnings,
				fmt.Sprintf(
					"%s: is not called by the expression and decides nothing: call it or remove it",
					at))
		}
		warnings = append(warnings,
			warningsForTimeout(member.TimeoutEvalSeconds, config,
				at.Child("timeoutEvalSeconds"))...)
	}
	return append(warnings, warningsForInert(fldPath, []inert{
		{"policyServer", group.PolicyServer != nil},
		{"sideEffects", group.SideEffects != nil},
		{"timeoutSeconds", group.TimeoutSeconds != nil},
		{"backgroundAudit", group.BackgroundAudit != nil},
		{"allowInsideAdmissionControllerNamespace",
			group.AllowInsideAdmissionControllerNamespace != nil},
	})...)
}

// inert is a field that has no effect in process.
type inert struct {
	name string
	set  bool
}

func warningsForInert(fldPath *field.Path, fields []inert) []string {
	var warnings []string
	for _, f := range fields {
		if f.set {
			warnings = append(warnings,
				fmt.Sprintf("%s: has no effect in process: remove the field",
					fldPath.Child(f.name)))
		}
	}
	return warnings
}

func warningsForTimeout(seconds *int32, config *wasmadmission.WasmAdmissionConfiguration,
	fldPath *field.Path) []string {
	whole := config.Limits.RequestTimeout.Duration
	if seconds == nil || time.Duration(*seconds)*time.Second <= whole {
		return nil
	}
	return []string{fmt.Sprintf(
		"%s: is longer than limits.requestTimeout (%s), which ends the evaluation first: "+
			"raise one or lower the other", fldPath, short(whole))}
}

// WarningsForRules returns one line for each rule that matches every resource if the policy's
// failures reject requests. If such a policy fails, nobody can repair the cluster through its API.
// The rules are those of a policy or of a module's metadata.
func WarningsForRules(rules []admissionregistrationv1.RuleWithOperations,
	failurePolicy admissionregistrationv1.FailurePolicyType, fldPath *field.Path) []string {
	if failurePolicy != admissionregistrationv1.Fail {
		return nil
	}
	var warnings []string
	for i, rule := range rules {
		everyGroup := slices.Contains(rule.APIGroups, "*")
		everyResource := slices.Contains(rule.Resources, "*") ||
			slices.Contains(rule.Resources, "*/*")
		if everyGroup && everyResource {
			warnings = append(warnings,
				fmt.Sprintf(
					"%s: matches every resource with failurePolicy Fail, so that a failing policy "+
						"locks everyone out: add exemptions for administrators, nodes and the apiserver, or set failurePolicy to Ignore",
					fldPath.Index(i)))
		}
	}
	return warnings
}
