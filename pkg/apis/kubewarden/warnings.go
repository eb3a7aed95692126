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

package kubewarden

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
)

// warningsForPolicy returns the warnings of validation, but lists all fields without effect in one
// line, because most manifests have some.
func warningsForPolicy(policy *wasmadmission.Policy,
	config *wasmadmission.WasmAdmissionConfiguration, spec *field.Path) []string {
	effective := *policy
	effective.PolicyServer, effective.SideEffects, effective.TimeoutSeconds = nil, nil, nil
	effective.BackgroundAudit, effective.AllowInsideAdmissionControllerNamespace = nil, nil
	inside := policy.AllowInsideAdmissionControllerNamespace
	return append(validation.WarningsForPolicy(&effective, config, spec),
		inert(spec, map[string]bool{
			"policyServer":    policy.PolicyServer != nil,
			"sideEffects":     policy.SideEffects != nil,
			"timeoutSeconds":  policy.TimeoutSeconds != nil,
			"backgroundAudit": policy.BackgroundAudit != nil,
			"allowInsideAdmissionControllerNamespace": inside != nil,
		})...)
}

func warningsForGroup(group *wasmadmission.PolicyGroup,
	config *wasmadmission.WasmAdmissionConfiguration, spec *field.Path) []string {
	effective := *group
	effective.PolicyServer, effective.SideEffects, effective.TimeoutSeconds = nil, nil, nil
	effective.BackgroundAudit, effective.AllowInsideAdmissionControllerNamespace = nil, nil
	inside := group.AllowInsideAdmissionControllerNamespace
	return append(validation.WarningsForPolicyGroup(&effective, config, spec),
		inert(spec, map[string]bool{
			"policyServer":    group.PolicyServer != nil,
			"sideEffects":     group.SideEffects != nil,
			"timeoutSeconds":  group.TimeoutSeconds != nil,
			"backgroundAudit": group.BackgroundAudit != nil,
			"allowInsideAdmissionControllerNamespace": inside != nil,
		})...)
}

// inert lists the fields that are set but have no effect.
func inert(spec *field.Path, set map[string]bool) []string {
	var names []string
	for _, name := range []string{
		"policyServer", "sideEffects", "timeoutSeconds", "backgroundAudit",
		"allowInsideAdmissionControllerNamespace",
	} {
		if set[name] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{
		fmt.Sprintf("%s: has no effect in process: %s", spec, strings.Join(names, ", ")),
	}
}
