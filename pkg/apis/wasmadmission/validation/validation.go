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

// Package validation checks the configuration of the WasmAdmission plugin. Every
// error names the field and says the remedy; all of them are reported at once.
package validation

import (
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// maxPathLength is the longest path that Linux takes (PATH_MAX), in bytes.
const maxPathLength = 4096

// ValidateConfiguration returns everything that is wrong with a configuration to which
// defaults have been applied, and none when it may be used. It reads no file: whether
// modules and directories exist is for those to find out who open them.
func ValidateConfiguration(config *wasmadmission.WasmAdmissionConfiguration) field.ErrorList {
	errs := validatePolicies(config.Policies)
	if config.PolicyDirectory != "" {
		errs = append(errs, field.Forbidden(field.NewPath("policyDirectory"),
			"policy directories are not supported yet: list the policies under policies and remove this field"))
	}
	errs = append(errs, validateStateDirectory(config.StateDirectory, field.NewPath("stateDirectory"))...)
	errs = append(errs, validateLimits(&config.Limits, field.NewPath("limits"))...)
	errs = append(errs, validateExemptions(&config.Exemptions, field.NewPath("exemptions"))...)
	return errs
}

// PolicyPath is the path of a policy in messages: by its name, such as
// policies[no-privileged-pods], or by its index when it has none.
func PolicyPath(index int, name string) *field.Path {
	policies := field.NewPath("policies")
	if name == "" {
		return policies.Index(index)
	}
	return policies.Key(name)
}

func validateStateDirectory(directory string, fldPath *field.Path) field.ErrorList {
	switch {
	case directory == "":
		return nil
	case !path.IsAbs(directory):
		return field.ErrorList{field.Invalid(fldPath, directory,
			"is a relative path: write the absolute path of a directory")}
	case path.Clean(directory) != directory:
		return field.ErrorList{field.Invalid(fldPath, directory,
			"is not a clean path: write "+path.Clean(directory))}
	case directory == "/":
		return field.ErrorList{field.Invalid(fldPath, directory,
			"is the root directory: write one of its own, such as /var/lib/kubernetes/wasm-admission")}
	case len(directory) > maxPathLength:
		return field.ErrorList{field.TooLong(fldPath, directory, maxPathLength)}
	case hasControlCharacter(directory):
		return field.ErrorList{field.Invalid(fldPath, directory,
			"holds a control character: write a path without one")}
	}
	return nil
}

func hasControlCharacter(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func validateExemptions(exemptions *wasmadmission.Exemptions, fldPath *field.Path) field.ErrorList {
	errs := validateNames(exemptions.Usernames, fldPath.Child("usernames"), nil)
	errs = append(errs, validateNames(exemptions.Groups, fldPath.Child("groups"), nil)...)
	errs = append(errs, validateNames(exemptions.Namespaces, fldPath.Child("namespaces"), validateNamespace)...)
	return errs
}

// validateNames checks a list of names: none empty, none twice, and each as check, if
// there is one, demands.
func validateNames(names []string, fldPath *field.Path, check func(string, *field.Path) *field.Error) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, name := range names {
		at := fldPath.Index(i)
		if name == "" {
			errs = append(errs, field.Required(at, "a name cannot be empty: write one or remove the entry"))
			continue
		}
		if seen.Has(name) {
			errs = append(errs, duplicate(at, name, "is already in the list: remove one of the two"))
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
	return field.Invalid(fldPath, name, "is not the name of a namespace: write at most 63 lower-case letters, "+
		"digits and '-', with a letter or digit at both ends")
}

// duplicate is field.Duplicate with a remedy.
func duplicate(fldPath *field.Path, value, remedy string) *field.Error {
	err := field.Duplicate(fldPath, value)
	err.Detail = remedy
	return err
}
