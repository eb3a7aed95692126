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

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// PolicyPath returns the path that identifies a policy in messages: by its name, such as
// policies[no-privileged-pods], or by its index if it has no name.
func PolicyPath(index int, name string) *field.Path {
	return pathOf("policies", index, name)
}

// PolicyGroupPath returns the path that identifies a group in messages, like PolicyPath.
func PolicyGroupPath(index int, name string) *field.Path {
	return pathOf("policyGroups", index, name)
}

func pathOf(list string, index int, name string) *field.Path {
	if name == "" {
		return field.NewPath(list).Index(index)
	}
	return field.NewPath(list).Key(name)
}

// validateNamesOfPolicies checks that names are unique among policies and groups.
func validateNamesOfPolicies(config *wasmadmission.WasmAdmissionConfiguration) field.ErrorList {
	var errs field.ErrorList
	first := map[string]int{}
	for i, policy := range config.Policies {
		if j, found := first[policy.Name]; found && policy.Name != "" {
			errs = append(errs, duplicate(PolicyPath(i, policy.Name).Child("name"), policy.Name,
				fmt.Sprintf(
					"is the name of policies %d and %d, counted from 0: give each policy its own",
					j, i)))
			continue
		}
		first[policy.Name] = i
	}
	firstGroup := map[string]int{}
	for i, group := range config.PolicyGroups {
		fldPath := PolicyGroupPath(i, group.Name).Child("name")
		policy, ofPolicy := first[group.Name]
		other, ofGroup := firstGroup[group.Name]
		switch {
		case group.Name == "":
		case ofGroup:
			errs = append(errs, duplicate(fldPath, group.Name,
				fmt.Sprintf(
					"is the name of groups %d and %d, counted from 0: give each group its own",
					other, i)))
			continue
		case ofPolicy:
			errs = append(errs, duplicate(fldPath, group.Name,
				fmt.Sprintf("is the name of policy %d too, counted from 0: give the group its own",
					policy)))
		}
		firstGroup[group.Name] = i
	}
	return errs
}

func validateName(name string, fldPath *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{
			field.Required(fldPath,
				"a policy needs a name for messages and metrics: write one, such as no-privileged-pods"),
		}
	}
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return field.ErrorList{field.Invalid(fldPath, name,
			"is not a DNS subdomain: write at most 253 lower-case letters, "+
				"digits, '-' and '.', with a letter or digit at both ends and around each '.'")}
	}
	return nil
}
