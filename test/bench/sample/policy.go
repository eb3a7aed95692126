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

// Package sample contains samples for benchmarks of admission: a policy in Rust, a 9 KB Pod, and a
// dispatcher.
package sample

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// modulePath is the path of the policy's module, from the root of the repository.
const modulePath = "test/policies/pod-privileged/policy.wasm"

// Variant returns a module that behaves like binary, but has a different digest: it has a custom
// section with n at the end. Policies with the same module would share code and instances.
func Variant(binary []byte, n int) []byte {
	name := "variant " + strconv.Itoa(n)
	return append(bytes.Clone(binary),
		append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)...)
}

// WriteModules writes n variants of the policy to directory, which only its owner may be able to
// write. [ModulePath] returns the path of each variant.
func WriteModules(directory string, n int) error {
	binary, err := os.ReadFile(modulePath)
	if err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	for k := range n {
		if err := os.WriteFile(ModulePath(directory, k), Variant(binary, k), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// ModulePath returns the path of variant n of the policy in directory.
func ModulePath(directory string, n int) string {
	return filepath.Join(directory, fmt.Sprintf("policy-%d.wasm", n))
}

// Policy returns a policy with the module at path that matches creates and updates of a resource.
func Policy(name, path, resource string) wasmadmission.Policy {
	return wasmadmission.Policy{
		Name:          name,
		Module:        "file://" + path,
		Settings:      runtime.RawExtension{Raw: []byte("{}")},
		FailurePolicy: admissionregistrationv1.Fail,
		MatchPolicy:   admissionregistrationv1.Equivalent,
		Mode:          wasmadmission.ModeProtect,
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{
				admissionregistrationv1.Create, admissionregistrationv1.Update,
			},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{"", "apps", "networking.k8s.io"},
				APIVersions: []string{"v1"},
				Resources:   []string{resource},
			},
		}},
	}
}

// PodPolicies returns policies that match Pods, one for each of the first n modules in directory.
func PodPolicies(directory string, n int) []wasmadmission.Policy {
	policies := make([]wasmadmission.Policy, n)
	for k := range policies {
		policies[k] = Policy(fmt.Sprintf("policy-%d", k), ModulePath(directory, k), "pods")
	}
	return policies
}

// Load loads policies with the default limits. The caller must close the set.
func Load(ctx context.Context, e *engine.Engine,
	policies ...wasmadmission.Policy) (*policyset.Set, error) {
	unset, err := assembly.Decode(nil)
	if err != nil {
		return nil, err
	}
	config := &wasmadmission.WasmAdmissionConfiguration{Policies: policies, Limits: unset.Limits}
	set, errs := (&policyset.Loader{Engine: e}).Load(ctx, config)
	return set, errs.ToAggregate()
}
