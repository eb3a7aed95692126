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

// Package validation checks the configuration of the WasmAdmission plugin. It reports all errors at
// once. Every error names the field and says how to fix it.
package validation

import (
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// maxMinimumPolicies is more than any server has.
const maxMinimumPolicies = 10_000

// ValidateConfiguration returns everything that is wrong with a configuration to which defaults
// have been applied. It returns nothing if the configuration is valid. It reads no files: opening
// modules and directories shows whether they exist, and the content of the policy directory is
// checked when it is read.
func ValidateConfiguration(config *wasmadmission.WasmAdmissionConfiguration) field.ErrorList {
	errs := validateNamesOfPolicies(config)
	for i := range config.Policies {
		policy := &config.Policies[i]
		fldPath := PolicyPath(i, policy.Name)
		errs = append(errs, validateName(policy.Name, fldPath.Child("name"))...)
		errs = append(errs, ValidatePolicy(policy, config, fldPath)...)
	}
	for i := range config.PolicyGroups {
		group := &config.PolicyGroups[i]
		fldPath := PolicyGroupPath(i, group.Name)
		errs = append(errs, validateName(group.Name, fldPath.Child("name"))...)
		errs = append(errs, ValidatePolicyGroup(group, config, fldPath)...)
	}
	errs = append(errs,
		validateBetween(config.MinimumPolicies, 0, maxMinimumPolicies,
			field.NewPath("minimumPolicies"))...)
	errs = append(errs, validatePaths(config)...)
	errs = append(errs, validateSources(&config.Sources, field.NewPath("sources"))...)
	errs = append(errs, validateVerification(config.Verification, field.NewPath("verification"))...)
	errs = append(errs, validateCompilation(&config.Compilation, field.NewPath("compilation"))...)
	errs = append(errs, validateReload(config, field.NewPath("reload"))...)
	errs = append(errs,
		validateCircuitBreaker(&config.CircuitBreaker, field.NewPath("circuitBreaker"))...)
	errs = append(errs,
		validateChoice(config.Mutation.UnknownFields, unknownFields,
			field.NewPath("mutation", "unknownFields"))...)
	errs = append(errs, validateReview(&config.Review, field.NewPath("review"))...)
	errs = append(errs, validateLimits(&config.Limits, field.NewPath("limits"))...)
	errs = append(errs, validateExemptions(&config.Exemptions, field.NewPath("exemptions"))...)
	errs = append(errs,
		validateCapabilities(&config.Capabilities, field.NewPath("capabilities"))...)
	return errs
}

// validateReview checks the fields that a review omits.
func validateReview(review *wasmadmission.Review, fldPath *field.Path) field.ErrorList {
	if len(review.Omit) > maxOmitted {
		return field.ErrorList{field.TooMany(fldPath.Child("omit"), len(review.Omit), maxOmitted)}
	}
	var errs field.ErrorList
	named := sets.New[wasmadmission.OmittedField]()
	for n, omitted := range review.Omit {
		at := fldPath.Child("omit").Index(n)
		if problems := validateChoice(omitted, omittedFields, at); len(problems) > 0 {
			errs = append(errs, problems...)
		} else if named.Has(omitted) {
			errs = append(errs,
				duplicate(at, string(omitted), "is left out already: name each field once"))
		}
		named.Insert(omitted)
	}
	return errs
}

// maxOmitted bounds the length of the list: room for every field, and for some mistakes.
const maxOmitted = 16

var omittedFields = []wasmadmission.OmittedField{wasmadmission.OmitManagedFields}

var unknownFields = []wasmadmission.UnknownFields{
	wasmadmission.UnknownFieldsError, wasmadmission.UnknownFieldsWarn,
}

func validateExemptions(exemptions *wasmadmission.Exemptions, fldPath *field.Path) field.ErrorList {
	errs := validateNames(exemptions.Usernames, fldPath.Child("usernames"), nil)
	errs = append(errs, validateNames(exemptions.Groups, fldPath.Child("groups"), nil)...)
	errs = append(errs,
		validateNames(exemptions.Namespaces, fldPath.Child("namespaces"), validateNamespace)...)
	return errs
}

// validateNames checks a list of names: none is empty, none occurs twice, and each passes check if
// check is not nil.
func validateNames(names []string, fldPath *field.Path,
	check func(string, *field.Path) *field.Error) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, name := range names {
		at := fldPath.Index(i)
		if name == "" {
			errs = append(errs,
				field.Required(at, "a name cannot be empty: write one or remove the entry"))
			continue
		}
		if seen.Has(name) {
			errs = append(errs,
				duplicate(at, name, "is already in the list: remove one of the two"))
			continue
		}
		seen.Insert(name)
		if check == nil {
			continue
		}
		if err := check(name, at); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func validateNamespace(name string, fldPath *field.Path) *field.Error {
	if len(validation.IsDNS1123Label(name)) == 0 {
		return nil
	}
	return field.Invalid(fldPath, name,
		"is not the name of a namespace: write at most 63 lower-case letters, "+
			"digits and '-', with a letter or digit at both ends")
}

// duplicate is like field.Duplicate and adds a remedy.
func duplicate(fldPath *field.Path, value, remedy string) *field.Error {
	err := field.Duplicate(fldPath, value)
	err.Detail = remedy
	return err
}
