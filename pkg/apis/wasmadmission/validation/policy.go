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
	"regexp"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

const (
	// maxMessageLength bounds the message of a policy, in bytes.
	maxMessageLength = 1024
	// maxTimeoutSeconds bounds timeouts as admissionregistration.k8s.io/v1 does.
	maxTimeoutSeconds = 30
)

var (
	failurePolicies = []admissionregistrationv1.FailurePolicyType{
		admissionregistrationv1.Fail, admissionregistrationv1.Ignore,
	}
	matchPolicies = []admissionregistrationv1.MatchPolicyType{
		admissionregistrationv1.Equivalent, admissionregistrationv1.Exact,
	}
	sideEffectClasses = []admissionregistrationv1.SideEffectClass{
		admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.SideEffectClassNoneOnDryRun,
		admissionregistrationv1.SideEffectClassSome, admissionregistrationv1.SideEffectClassUnknown,
	}

	digestFormat = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

func validatePolicies(policies []wasmadmission.Policy) field.ErrorList {
	var errs field.ErrorList
	first := map[string]int{}
	for i := range policies {
		policy := &policies[i]
		fldPath := PolicyPath(i, policy.Name)
		if j, found := first[policy.Name]; found && policy.Name != "" {
			errs = append(errs, duplicate(fldPath.Child("name"), policy.Name,
				fmt.Sprintf("is the name of policies %d and %d, counted from 0: give each policy its own", j, i)))
		} else {
			first[policy.Name] = i
		}
		errs = append(errs, validatePolicy(policy, fldPath)...)
	}
	return errs
}

func validatePolicy(policy *wasmadmission.Policy, fldPath *field.Path) field.ErrorList {
	errs := validateName(policy.Name, fldPath.Child("name"))
	errs = append(errs, validateModule(policy.Module, fldPath.Child("module"))...)
	if policy.Digest != "" && !digestFormat.MatchString(policy.Digest) {
		errs = append(errs, field.Invalid(fldPath.Child("digest"), policy.Digest,
			`must be "sha256:" and 64 lower-case hexadecimal digits: write those that sha256sum prints for the module`))
	}
	errs = append(errs, validateSettings(policy.Settings, fldPath.Child("settings"))...)
	if policy.Rules != nil && len(policy.Rules) == 0 {
		errs = append(errs, field.Required(fldPath.Child("rules"),
			"an empty list matches nothing: write at least one rule, or remove the field to take those of the module"))
	}
	errs = append(errs, ValidateRules(policy.Rules, fldPath.Child("rules"))...)
	errs = append(errs, validateSelector(policy.NamespaceSelector, fldPath.Child("namespaceSelector"))...)
	errs = append(errs, validateSelector(policy.ObjectSelector, fldPath.Child("objectSelector"))...)
	errs = append(errs, validateMatchConditions(policy.MatchConditions, fldPath.Child("matchConditions"))...)
	errs = append(errs, validateChoice(policy.FailurePolicy, failurePolicies, fldPath.Child("failurePolicy"))...)
	errs = append(errs, validateChoice(policy.MatchPolicy, matchPolicies, fldPath.Child("matchPolicy"))...)
	errs = append(errs, validateTimeout(policy.TimeoutEvalSeconds, fldPath.Child("timeoutEvalSeconds"))...)
	if len(policy.Message) > maxMessageLength {
		errs = append(errs, field.TooLong(fldPath.Child("message"), policy.Message, maxMessageLength))
	}
	errs = append(errs, validateHostCapabilities(policy.HostCapabilities, fldPath.Child("hostCapabilities"))...)
	errs = append(errs, ValidateContextAwareResources(policy.ContextAwareResources, fldPath.Child("contextAwareResources"))...)
	errs = append(errs, validateNotSupportedYet(policy, fldPath)...)

	// These have no effect, but a value that Kubewarden would refuse is a mistake here too.
	if policy.SideEffects != nil {
		errs = append(errs, validateChoice(*policy.SideEffects, sideEffectClasses, fldPath.Child("sideEffects"))...)
	}
	errs = append(errs, validateTimeout(policy.TimeoutSeconds, fldPath.Child("timeoutSeconds"))...)
	return errs
}

// validateNotSupportedYet refuses what a ClusterAdmissionPolicy may ask for and this
// version does not do: a policy that is served otherwise than written is worse than
// none.
func validateNotSupportedYet(policy *wasmadmission.Policy, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch policy.Mode {
	case wasmadmission.ModeProtect:
	case wasmadmission.ModeMonitor:
		errs = append(errs, field.Forbidden(fldPath.Child("mode"),
			`mode "monitor" is not supported yet: write "protect" or remove the field`))
	default:
		errs = append(errs, field.NotSupported(fldPath.Child("mode"), policy.Mode,
			[]wasmadmission.PolicyMode{wasmadmission.ModeProtect}))
	}
	if policy.Mutating {
		errs = append(errs, field.Forbidden(fldPath.Child("mutating"),
			"mutating policies are not supported yet: write false or remove the field, and the policy may only accept and reject"))
	}
	if len(policy.ContextAwareResources) > 0 {
		errs = append(errs, field.Forbidden(fldPath.Child("contextAwareResources"),
			"policies that read the cluster are not supported yet: remove the field"))
	}
	return errs
}

func validateName(name string, fldPath *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(fldPath, "a policy needs a name for messages and metrics: write one, such as no-privileged-pods")}
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return field.ErrorList{field.Invalid(fldPath, name, "is not a DNS subdomain: write at most 253 lower-case letters, "+
			"digits, '-' and '.', with a letter or digit at both ends and around each '.'")}
	}
	return nil
}

func validateSelector(selector *metav1.LabelSelector, fldPath *field.Path) field.ErrorList {
	return metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, fldPath)
}

func validateChoice[T ~string](value T, choices []T, fldPath *field.Path) field.ErrorList {
	for _, choice := range choices {
		if value == choice {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(fldPath, value, choices)}
}

func validateTimeout(seconds *int32, fldPath *field.Path) field.ErrorList {
	if seconds == nil || *seconds >= 1 && *seconds <= maxTimeoutSeconds {
		return nil
	}
	return field.ErrorList{field.Invalid(fldPath, *seconds,
		fmt.Sprintf("must be between 1 and %d, in seconds", maxTimeoutSeconds))}
}

func validateHostCapabilities(patterns []string, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, pattern := range patterns {
		if _, err := capabilities.ParsePattern(pattern); err != nil {
			errs = append(errs, field.Invalid(fldPath.Index(i), pattern, err.Error()))
			continue
		}
		if seen.Has(pattern) {
			errs = append(errs, duplicate(fldPath.Index(i), pattern, "is already in the list: remove one of the two"))
		}
		seen.Insert(pattern)
	}
	if len(patterns) > 0 && len(errs) == 0 {
		errs = append(errs, field.Forbidden(fldPath,
			"no host capability that needs a grant is supported yet: remove the field; tracing/log works without one"))
	}
	return errs
}

// ValidateContextAwareResources checks entries of contextAwareResources, be they from a
// policy or from a module's metadata. Both fields of each have to be set.
func ValidateContextAwareResources(resources []wasmadmission.ContextAwareResource, fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, resource := range resources {
		if resource.APIVersion == "" {
			errs = append(errs, field.Required(fldPath.Index(i).Child("apiVersion"),
				"write the group and version of the kind, such as apps/v1"))
		}
		if resource.Kind == "" {
			errs = append(errs, field.Required(fldPath.Index(i).Child("kind"),
				"write the kind, such as Deployment"))
		}
	}
	return errs
}
