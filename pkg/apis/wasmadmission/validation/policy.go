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

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

const (
	// maxMessageLength bounds the message of a policy or group, in bytes.
	maxMessageLength = 1024
	// maxTimeoutSeconds is the upper bound of admissionregistration.k8s.io/v1 for timeouts.
	maxTimeoutSeconds = 30
)

var (
	modes = []wasmadmission.PolicyMode{wasmadmission.ModeProtect, wasmadmission.ModeMonitor}

	reinvocationPolicies = []admissionregistrationv1.ReinvocationPolicyType{
		admissionregistrationv1.IfNeededReinvocationPolicy,
		admissionregistrationv1.NeverReinvocationPolicy,
	}
	sideEffectClasses = []admissionregistrationv1.SideEffectClass{
		admissionregistrationv1.SideEffectClassNone,
		admissionregistrationv1.SideEffectClassNoneOnDryRun,
		admissionregistrationv1.SideEffectClassSome, admissionregistrationv1.SideEffectClassUnknown,
	}
)

// ValidatePolicy returns everything that is wrong with a policy, except for its name: the caller
// checks that, because it depends on where the policy comes from. The configuration decides which
// modules from registries and servers are allowed.
func ValidatePolicy(policy *wasmadmission.Policy, config *wasmadmission.WasmAdmissionConfiguration,
	fldPath *field.Path) field.ErrorList {
	errs := validateEvaluated(&evaluated{
		module:                policy.Module,
		digest:                policy.Digest,
		verification:          policy.Verification,
		settings:              policy.Settings,
		timeoutEvalSeconds:    policy.TimeoutEvalSeconds,
		contextAwareResources: policy.ContextAwareResources,
		hostCapabilities:      policy.HostCapabilities,
	}, config, fldPath)
	if policy.Rules != nil && len(policy.Rules) == 0 {
		errs = append(errs, field.Required(fldPath.Child("rules"),
			"an empty list matches nothing: write at least one rule, or remove the field to take those of the module"))
	}
	errs = append(errs, validateMatched(&matched{
		rules:             policy.Rules,
		failurePolicy:     policy.FailurePolicy,
		matchPolicy:       policy.MatchPolicy,
		namespaceSelector: policy.NamespaceSelector,
		objectSelector:    policy.ObjectSelector,
		matchConditions:   policy.MatchConditions,
	}, fldPath)...)
	errs = append(errs, validateMessage(policy.Message, fldPath.Child("message"))...)
	errs = append(errs, validateChoice(policy.Mode, modes, fldPath.Child("mode"))...)
	errs = append(errs,
		validateChoice(policy.ReinvocationPolicy, reinvocationPolicies,
			fldPath.Child("reinvocationPolicy"))...)
	errs = append(errs, validateReview(&policy.Review, fldPath.Child("review"))...)
	errs = append(errs, validateInert(policy.SideEffects, policy.TimeoutSeconds, fldPath)...)
	return errs
}

func validateMessage(message string, fldPath *field.Path) field.ErrorList {
	if len(message) > maxMessageLength {
		return field.ErrorList{field.TooLong(fldPath, message, maxMessageLength)}
	}
	return nil
}

// validateInert checks fields that have no effect. A value that Kubewarden would reject is a
// mistake here too.
func validateInert(sideEffects *admissionregistrationv1.SideEffectClass, timeoutSeconds *int32,
	fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	if sideEffects != nil {
		errs = append(errs,
			validateChoice(*sideEffects, sideEffectClasses, fldPath.Child("sideEffects"))...)
	}
	return append(errs, validateTimeout(timeoutSeconds, fldPath.Child("timeoutSeconds"))...)
}

func validateTimeout(seconds *int32, fldPath *field.Path) field.ErrorList {
	if seconds == nil || *seconds >= 1 && *seconds <= maxTimeoutSeconds {
		return nil
	}
	return field.ErrorList{field.Invalid(fldPath, *seconds,
		fmt.Sprintf("must be between 1 and %d, in seconds", maxTimeoutSeconds))}
}
