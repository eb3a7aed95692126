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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// evaluated holds the fields that policies and members of groups share: a module, and what its
// evaluation needs.
type evaluated struct {
	module                string
	digest                string
	verification          *wasmadmission.PolicyVerification
	settings              runtime.RawExtension
	timeoutEvalSeconds    *int32
	contextAwareResources []wasmadmission.ContextAwareResource
	hostCapabilities      []string
}

func validateEvaluated(e *evaluated, config *wasmadmission.WasmAdmissionConfiguration,
	fldPath *field.Path) field.ErrorList {
	errs := validateModule(e.module, config, fldPath.Child("module"))
	if e.digest != "" && !moduleuri.IsDigest(e.digest) {
		errs = append(errs, field.Invalid(fldPath.Child("digest"), e.digest,
			`must be "sha256:" and 64 lower-case hexadecimal digits: write those that sha256sum prints for the module`))
	}
	errs = append(errs,
		validatePolicyVerification(e.verification, config.Verification,
			fldPath.Child("verification"))...)
	errs = append(errs, validateSettings(e.settings, fldPath.Child("settings"))...)
	errs = append(errs,
		validateTimeout(e.timeoutEvalSeconds, fldPath.Child("timeoutEvalSeconds"))...)
	errs = append(errs,
		validateContextAwareResources(e.contextAwareResources,
			fldPath.Child("contextAwareResources"))...)
	return append(errs,
		validateHostCapabilities(e.hostCapabilities, fldPath.Child("hostCapabilities"))...)
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
			errs = append(errs,
				duplicate(fldPath.Index(i), pattern,
					"is already in the list: remove one of the two"))
		}
		seen.Insert(pattern)
	}
	return errs
}

// validateContextAwareResources checks the contextAwareResources of a policy or of a module's
// metadata. Both fields of each entry must be set.
func validateContextAwareResources(resources []wasmadmission.ContextAwareResource,
	fldPath *field.Path) field.ErrorList {
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
