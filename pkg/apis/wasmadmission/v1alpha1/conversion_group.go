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

package v1alpha1

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/conversion"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Convert_wasmadmission_Policy_To_v1alpha1_Policy converts a policy. It returns an error for one
// with a namespace, which this version cannot express.
func Convert_wasmadmission_Policy_To_v1alpha1_Policy(in *wasmadmission.Policy, out *Policy,
	s conversion.Scope) error {
	if in.Namespace != "" {
		return fmt.Errorf("policy %q is restricted to namespace %q, which %s cannot express",
			in.Name, in.Namespace, SchemeGroupVersion)
	}
	return autoConvert_wasmadmission_Policy_To_v1alpha1_Policy(in, out, s)
}

// Convert_v1alpha1_PolicyGroup_To_wasmadmission_PolicyGroup converts a group and sorts its members
// by name.
func Convert_v1alpha1_PolicyGroup_To_wasmadmission_PolicyGroup(in *PolicyGroup,
	out *wasmadmission.PolicyGroup, s conversion.Scope) error {
	err := autoConvert_v1alpha1_PolicyGroup_To_wasmadmission_PolicyGroup(in, out, s)
	if err != nil {
		return err
	}
	out.Policies = nil
	for _, name := range slices.Sorted(maps.Keys(in.Policies)) {
		from, to := in.Policies[name], wasmadmission.PolicyGroupMember{Name: name}
		if err := Convert_v1alpha1_PolicyGroupMember_To_wasmadmission_PolicyGroupMember(&from, &to,
			s); err != nil {
			return err
		}
		out.Policies = append(out.Policies, to)
	}
	return nil
}

// Convert_wasmadmission_PolicyGroup_To_v1alpha1_PolicyGroup converts a group. It returns an error
// for one with a namespace, which this version cannot express.
func Convert_wasmadmission_PolicyGroup_To_v1alpha1_PolicyGroup(in *wasmadmission.PolicyGroup,
	out *PolicyGroup, s conversion.Scope) error {
	if in.Namespace != "" {
		return fmt.Errorf("policy group %q is restricted to namespace %q, which %s cannot express",
			in.Name, in.Namespace, SchemeGroupVersion)
	}
	err := autoConvert_wasmadmission_PolicyGroup_To_v1alpha1_PolicyGroup(in, out, s)
	if err != nil {
		return err
	}
	out.Policies = nil
	for i := range in.Policies {
		var to PolicyGroupMember
		if err := Convert_wasmadmission_PolicyGroupMember_To_v1alpha1_PolicyGroupMember(
			&in.Policies[i], &to, s); err != nil {
			return err
		}
		if out.Policies == nil {
			out.Policies = make(map[string]PolicyGroupMember, len(in.Policies))
		}
		out.Policies[in.Policies[i].Name] = to
	}
	return nil
}

// Convert_wasmadmission_PolicyGroupMember_To_v1alpha1_PolicyGroupMember converts a member. It
// leaves out the name, which is the member's key in the group.
func Convert_wasmadmission_PolicyGroupMember_To_v1alpha1_PolicyGroupMember(
	in *wasmadmission.PolicyGroupMember, out *PolicyGroupMember, s conversion.Scope) error {
	return autoConvert_wasmadmission_PolicyGroupMember_To_v1alpha1_PolicyGroupMember(in, out, s)
}
