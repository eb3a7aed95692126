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

package assembly

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

// CheckerFactory makes what checks signatures of the trust root that a validated
// configuration names, and keeps that root current until the context ends. The error says
// why the root cannot be used.
type CheckerFactory func(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration) (verification.Checker, error)

// newVerifier returns what a configuration has modules verified by, nil if it demands no
// signatures. Nothing is made in place of what is missing: there is no verification that is
// left out with a warning.
func newVerifier(ctx context.Context, config *wasmadmission.WasmAdmissionConfiguration, newChecker CheckerFactory) (module.Verifier, error) {
	if !demandsSignatures(config) {
		return nil, nil
	}
	if newChecker == nil {
		return nil, errors.New("verification: signatures are to be verified, and this program was built without what checks them: " +
			"use one that has it, or remove verification from the configuration and its policies")
	}
	options := modules.Options{}
	if v := config.Verification; v != nil {
		var err error
		if options.Config, err = verificationConfig(v); err != nil {
			return nil, err
		}
		options.Required = v.Required
	}
	checker, err := newChecker(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("verification.trustRoot: %w", err)
	}
	options.Checker = checker
	verifier, err := modules.New(options)
	if err != nil {
		return nil, fmt.Errorf("verification: %w", err)
	}
	return verifier, nil
}

// demandsSignatures is whether signatures are demanded of any module.
func demandsSignatures(config *wasmadmission.WasmAdmissionConfiguration) bool {
	demanded := config.Verification != nil
	for n := range config.Policies {
		demanded = demanded || config.Policies[n].Verification != nil
	}
	for n := range config.PolicyGroups {
		for m := range config.PolicyGroups[n].Policies {
			demanded = demanded || config.PolicyGroups[n].Policies[m].Verification != nil
		}
	}
	return demanded
}

// verificationConfig returns the config that stands in a configuration, or in the file that
// it names; nil if it has none.
func verificationConfig(v *wasmadmission.Verification) (*verification.Config, error) {
	field, document := "verification.config", v.Config.Raw
	if v.File != "" {
		var err error
		if document, err = safefile.Read(v.File, verification.MaxConfigBytes); err != nil {
			return nil, fmt.Errorf("verification.file: %w", err)
		}
		field = "verification.file: " + v.File
	}
	if len(document) == 0 && v.File == "" {
		return nil, nil
	}
	config, err := verification.ParseConfig(document)
	if err != nil {
		var lines []error
		for line := range strings.SplitSeq(err.Error(), "\n") {
			lines = append(lines, fmt.Errorf("%s: %s", field, line))
		}
		return nil, errors.Join(lines...)
	}
	return config, nil
}
