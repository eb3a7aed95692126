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

package abi

import (
	"fmt"
	"maps"
	"slices"
)

// checkPresent refuses the same missing, null and empty fields as Kubewarden's reader. Null counts
// as missing for protocolVersion, annotations, hostCapabilities and minimumKubewardenVersion, and
// is refused everywhere else.
func checkPresent(fields map[string]any) error {
	for _, name := range []string{"rules", "mutating"} {
		if fields[name] == nil {
			return fmt.Errorf("%s: required field is missing", name)
		}
	}
	for _, name := range []string{
		"backgroundAudit", "executionMode", "policyType", "contextAwareResources",
	} {
		if value, present := fields[name]; present && value == nil {
			return isNull(name)
		}
	}
	for _, name := range []string{"protocolVersion", "minimumKubewardenVersion"} {
		if fields[name] == "" {
			return fmt.Errorf("%s: is empty: leave it out, or give it a value", name)
		}
	}
	annotations, _ := fields["annotations"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if annotations[name] == nil {
			return isNull(fmt.Sprintf("annotations[%q]", name))
		}
	}
	if err := checkElements("hostCapabilities", fields["hostCapabilities"]); err != nil {
		return err
	}
	return checkRules(fields["rules"])
}

func checkRules(value any) error {
	if err := checkElements("rules", value); err != nil {
		return err
	}
	rules, _ := value.([]any)
	for n := range rules {
		rule, _ := rules[n].(map[string]any)
		for _, name := range []string{"apiGroups", "apiVersions", "resources", "operations"} {
			path := fmt.Sprintf("rules[%d].%s", n, name)
			if rule[name] == nil {
				return fmt.Errorf("%s: required field is missing", path)
			}
			if err := checkElements(path, rule[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkElements refuses a list that contains a null.
func checkElements(path string, value any) error {
	list, _ := value.([]any)
	if n := slices.IndexFunc(list, func(element any) bool { return element == nil }); n >= 0 {
		return isNull(fmt.Sprintf("%s[%d]", path, n))
	}
	return nil
}

func isNull(path string) error {
	return fmt.Errorf("%s: is null, which Kubewarden refuses too: leave it out, or give it a value",
		path)
}
