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
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/groupexpression"
)

// maxMembers bounds the number of members of a group.
const maxMembers = 64

// ValidatePolicyGroup returns everything that is wrong with a group, except for its name, like
// ValidatePolicy.
func ValidatePolicyGroup(group *wasmadmission.PolicyGroup,
	config *wasmadmission.WasmAdmissionConfiguration, fldPath *field.Path) field.ErrorList {
	errs := validateMembers(group.Policies, config, fldPath.Child("policies"))
	errs = append(errs, validateGroupExpression(group, fldPath.Child("expression"))...)
	if group.Message == "" {
		errs = append(errs,
			field.Required(fldPath.Child("message"),
				"a group needs a message for those whose requests it rejects: write one"))
	}
	errs = append(errs, validateMessage(group.Message, fldPath.Child("message"))...)
	if len(group.Rules) == 0 {
		errs = append(errs, field.Required(fldPath.Child("rules"),
			"a group needs rules of its own, as its modules may have different ones: write at least one rule"))
	}
	errs = append(errs, validateMatched(&matched{
		rules:             group.Rules,
		failurePolicy:     group.FailurePolicy,
		matchPolicy:       group.MatchPolicy,
		namespaceSelector: group.NamespaceSelector,
		objectSelector:    group.ObjectSelector,
		matchConditions:   group.MatchConditions,
	}, fldPath)...)
	errs = append(errs, validateChoice(group.Mode, modes, fldPath.Child("mode"))...)
	errs = append(errs, validateReview(&group.Review, fldPath.Child("review"))...)
	return append(errs, validateInert(group.SideEffects, group.TimeoutSeconds, fldPath)...)
}

func validateMembers(members []wasmadmission.PolicyGroupMember,
	config *wasmadmission.WasmAdmissionConfiguration, fldPath *field.Path) field.ErrorList {
	switch {
	case len(members) == 0:
		return field.ErrorList{
			field.Required(fldPath, "a group needs at least one member: write its name and module"),
		}
	case len(members) > maxMembers:
		return field.ErrorList{field.TooMany(fldPath, len(members), maxMembers)}
	}
	var errs field.ErrorList
	names := sets.New[string]()
	for i := range members {
		member := &members[i]
		at := fldPath.Key(member.Name)
		if !groupexpression.IsMemberName(member.Name) {
			errs = append(errs, field.Invalid(at, member.Name,
				"cannot be called in an expression: write letters, digits and '_', no digit first, and no reserved word of CEL"))
		}
		if names.Has(member.Name) {
			errs = append(errs,
				duplicate(at, member.Name,
					"is the name of an earlier member: give each member its own"))
		}
		names.Insert(member.Name)
		errs = append(errs, validateEvaluated(&evaluated{
			module:                member.Module,
			digest:                member.Digest,
			verification:          member.Verification,
			settings:              member.Settings,
			timeoutEvalSeconds:    member.TimeoutEvalSeconds,
			contextAwareResources: member.ContextAwareResources,
			hostCapabilities:      member.HostCapabilities,
		}, config, at)...)
	}
	return errs
}

// validateGroupExpression compiles the expression in the same way as for evaluation.
func validateGroupExpression(group *wasmadmission.PolicyGroup,
	fldPath *field.Path) field.ErrorList {
	if strings.TrimSpace(group.Expression) == "" {
		return field.ErrorList{field.Required(fldPath,
			"write a CEL expression over the members that is true for the requests to admit, such as a() && b()")}
	}
	if _, err := groupexpression.Compile(group.Expression, memberNames(group)); err != nil {
		return field.ErrorList{
			field.Invalid(fldPath, abbreviate([]byte(group.Expression)), err.Error()),
		}
	}
	return nil
}

func memberNames(group *wasmadmission.PolicyGroup) []string {
	names := make([]string, len(group.Policies))
	for i := range group.Policies {
		names[i] = group.Policies[i].Name
	}
	return names
}
