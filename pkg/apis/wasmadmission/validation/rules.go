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
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	operations = []admissionregistrationv1.OperationType{
		admissionregistrationv1.OperationAll, admissionregistrationv1.Connect,
		admissionregistrationv1.Create,
		admissionregistrationv1.Delete, admissionregistrationv1.Update,
	}
	scopes = []admissionregistrationv1.ScopeType{
		admissionregistrationv1.AllScopes, admissionregistrationv1.ClusterScope,
		admissionregistrationv1.NamespacedScope,
	}
)

// ValidateRules checks the rules of a policy or of a module's metadata against the constraints of
// admissionregistration.k8s.io/v1 for webhooks. It accepts an empty list; the caller decides
// whether there must be rules.
func ValidateRules(rules []admissionregistrationv1.RuleWithOperations,
	fldPath *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range rules {
		rule, at := &rules[i], fldPath.Index(i)
		errs = append(errs, validateOperations(rule.Operations, at.Child("operations"))...)
		errs = append(errs, validateGroups(rule.APIGroups, at.Child("apiGroups"))...)
		errs = append(errs, validateVersions(rule.APIVersions, at.Child("apiVersions"))...)
		errs = append(errs, validateResources(rule.Resources, at.Child("resources"))...)
		if rule.Scope != nil {
			errs = append(errs, validateChoice(*rule.Scope, scopes, at.Child("scope"))...)
		}
	}
	return errs
}

func validateOperations(list []admissionregistrationv1.OperationType,
	fldPath *field.Path) field.ErrorList {
	if len(list) == 0 {
		return field.ErrorList{
			field.Required(fldPath, `write at least one operation, such as CREATE, or "*" for all`),
		}
	}
	var errs field.ErrorList
	for i, operation := range list {
		errs = append(errs, validateChoice(operation, operations, fldPath.Index(i))...)
	}
	if len(list) > 1 && slices.Contains(list, admissionregistrationv1.OperationAll) {
		errs = append(errs,
			field.Invalid(fldPath, list, `"*" includes all operations: remove it or the others`))
	}
	return errs
}

func validateGroups(groups []string, fldPath *field.Path) field.ErrorList {
	if len(groups) == 0 {
		return field.ErrorList{
			field.Required(fldPath,
				`write at least one API group, "" for the core group or "*" for all`),
		}
	}
	if len(groups) > 1 && slices.Contains(groups, "*") {
		return field.ErrorList{
			field.Invalid(fldPath, groups, `"*" includes all API groups: remove it or the others`),
		}
	}
	return nil
}

func validateVersions(versions []string, fldPath *field.Path) field.ErrorList {
	if len(versions) == 0 {
		return field.ErrorList{
			field.Required(fldPath, `write at least one API version, such as v1, or "*" for all`),
		}
	}
	var errs field.ErrorList
	for i, version := range versions {
		if version == "" {
			errs = append(errs,
				field.Required(fldPath.Index(i),
					"an API version cannot be empty: write one, such as v1"))
		}
	}
	if len(versions) > 1 && slices.Contains(versions, "*") {
		errs = append(errs,
			field.Invalid(fldPath, versions,
				`"*" includes all API versions: remove it or the others`))
	}
	return errs
}

// validateResources allows "resource", "resource/subresource", and "*" on either side, and rejects
// an entry that another one includes.
func validateResources(resources []string, fldPath *field.Path) field.ErrorList {
	if len(resources) == 0 {
		return field.ErrorList{
			field.Required(fldPath, `write at least one resource, such as pods, or "*" for all`),
		}
	}
	all := sets.New(resources...)
	var errs field.ErrorList
	for i, entry := range resources {
		at := fldPath.Index(i)
		resource, subresource, isSubresource := strings.Cut(entry, "/")
		switch {
		case entry == "":
			errs = append(errs,
				field.Required(at, "a resource cannot be empty: write one, such as pods"))
		case resource == "", isSubresource && subresource == "", strings.Contains(subresource, "/"):
			errs = append(errs,
				field.Invalid(at, entry,
					"is not a resource: write one, such as pods, or a subresource, such as pods/status"))
		case all.Has("*/*") && len(resources) > 1:
			// Reported once, below, for the whole list.
		case isSubresource && subresource != "*" && all.Has(resource+"/*"):
			errs = append(errs, includedIn(resource+"/*", entry, at))
		case isSubresource && resource != "*" && all.Has("*/"+subresource):
			errs = append(errs, includedIn("*/"+subresource, entry, at))
		case !isSubresource && entry != "*" && all.Has("*"):
			errs = append(errs, includedIn("*", entry, at))
		}
	}
	if len(resources) > 1 && all.Has("*/*") {
		errs = append(errs,
			field.Invalid(fldPath, resources,
				`"*/*" includes all resources: remove it or the others`))
	}
	return errs
}

func includedIn(wider, entry string, fldPath *field.Path) *field.Error {
	return field.Invalid(fldPath, entry,
		`is included in "`+wider+`", which is in the list too: remove one of the two`)
}
