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

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

const (
	writeTrustRoot = "signatures by identities are demanded, and their certificates need a trust root: " +
		"set publicGood for the public Sigstore, or file for your own"
	writeConfig = "signatures are demanded, but nothing says whose: write a verification config, or name its file"
)

// validateVerification checks the demands on all modules. Whoever reads the files checks their
// content.
func validateVerification(v *wasmadmission.Verification, fldPath *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	hasConfig := len(v.Config.Raw) > 0
	config, errs := validateVerificationConfig(v.Config, fldPath.Child("config"))
	switch {
	case hasConfig && v.File != "":
		errs = append(errs,
			field.Invalid(fldPath.Child("file"), v.File,
				"cannot be set together with config: remove one of the two"))
	case v.File != "":
		errs = append(errs, validateFile(v.File, fldPath.Child("file"))...)
	case v.Required && !hasConfig:
		errs = append(errs, field.Required(fldPath.Child("config"), writeConfig))
	}
	root := fldPath.Child("trustRoot")
	switch {
	case v.TrustRoot.File != "" && v.TrustRoot.PublicGood:
		errs = append(errs,
			field.Invalid(root.Child("publicGood"), true,
				"cannot be set together with file: remove one of the two"))
	case v.TrustRoot.File != "":
		errs = append(errs, validateFile(v.TrustRoot.File, root.Child("file"))...)
	}
	return append(errs, validateTrustRoot(config, v, root)...)
}

// validatePolicyVerification checks the additional demands on one module.
func validatePolicyVerification(p *wasmadmission.PolicyVerification,
	all *wasmadmission.Verification, fldPath *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	config, errs := validateVerificationConfig(p.Config, fldPath.Child("config"))
	if p.Required != nil {
		required := fldPath.Child("required")
		switch hasConfig := all != nil && (len(all.Config.Raw) > 0 || all.File != ""); {
		case *p.Required && !hasConfig:
			errs = append(errs,
				field.Invalid(required, true,
					"demands the config of verification, which is not set: set verification.config or verification.file, or write a config here"))
		case !*p.Required && all != nil && all.Required:
			errs = append(errs,
				field.Invalid(required, false,
					"would exempt the policy from verification.required: a policy can only add demands, so remove this field"))
		}
	}
	return append(errs,
		validateTrustRoot(config, all, field.NewPath("verification", "trustRoot"))...)
}

// validateTrustRoot checks that there is a trust root if a config needs one.
func validateTrustRoot(config *verification.Config, all *wasmadmission.Verification,
	fldPath *field.Path) field.ErrorList {
	if config == nil || !config.Keyless() || all != nil &&
		all.TrustRoot != (wasmadmission.TrustRoot{}) {
		return nil
	}
	return field.ErrorList{field.Required(fldPath, writeTrustRoot)}
}

// validateVerificationConfig returns a config, or nil if there is none or it is bad. The errors do
// not repeat bad content, which may be a private key.
func validateVerificationConfig(raw runtime.RawExtension,
	fldPath *field.Path) (*verification.Config, field.ErrorList) {
	if len(raw.Raw) == 0 {
		return nil, nil
	}
	config, err := verification.ParseConfig(raw.Raw)
	if err != nil {
		var errs field.ErrorList
		for line := range strings.SplitSeq(err.Error(), "\n") {
			errs = append(errs, field.Invalid(fldPath, field.OmitValueType{}, line))
		}
		return nil, errs
	}
	return config, nil
}
