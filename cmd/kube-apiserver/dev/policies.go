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

package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
	"github.com/wasm-admission/wasm-admission/plugin/pkg/admission/wasm"
)

// policyFlags builds a configuration of the policies in the directories of the options, which may
// be "". It returns the flags that make the server use it.
//
// Every file NAME.wasm in the directory of policies becomes a policy called NAME. A file NAME.yaml
// beside it holds the policy's other fields, such as its settings. The modules are copied below
// dir, because the server refuses files that others can write, as is common in a checkout.
// Manifests stay in their place and are watched.
func policyFlags(opts *options, dir string) ([]string, error) {
	config := v1alpha1.WasmAdmissionConfiguration{
		StateDirectory: filepath.Join(dir, "wasm-admission"),
	}
	config.APIVersion, config.Kind = v1alpha1.SchemeGroupVersion.String(),
		"WasmAdmissionConfiguration"
	var err error
	if opts.policies != "" {
		if config.Policies, err = copyPolicies(opts.policies,
			filepath.Join(dir, "policies")); err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
	}
	if opts.manifests != "" {
		if config.PolicyDirectory, err = filepath.Abs(opts.manifests); err != nil {
			return nil, fmt.Errorf("policy-directory: %w", err)
		}
	}
	if opts.breakGlass != "" {
		if config.BreakGlassFile, err = filepath.Abs(opts.breakGlass); err != nil {
			return nil, fmt.Errorf("break-glass-file: %w", err)
		}
	}
	file := filepath.Join(dir, "admission.yaml")
	if err := writeAdmissionConfiguration(file, &config); err != nil {
		return nil, fmt.Errorf("policies: %w", err)
	}
	return []string{
		"--feature-gates=WasmAdmission=true", "--admission-control-config-file=" + file,
	}, nil
}

// copyPolicies copies all modules of a directory, and returns their policies.
func copyPolicies(source, to string) ([]v1alpha1.Policy, error) {
	modules, err := filepath.Glob(filepath.Join(source, "*.wasm"))
	if err != nil {
		return nil, err
	}
	if len(modules) == 0 {
		return nil, fmt.Errorf("no file %s", filepath.Join(source, "*.wasm"))
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return nil, err
	}
	var policies []v1alpha1.Policy
	for _, module := range modules {
		policy, err := copyPolicy(module, to)
		if err != nil {
			return nil, err
		}
		policies = append(policies, *policy)
	}
	return policies, nil
}

// copyPolicy copies a module, and returns its policy.
func copyPolicy(module, to string) (*v1alpha1.Policy, error) {
	wasm, err := os.ReadFile(module)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(module), ".wasm")
	file := filepath.Join(to, name+".wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		return nil, err
	}
	policy := &v1alpha1.Policy{}
	fields := strings.TrimSuffix(module, ".wasm") + ".yaml"
	switch data, err := os.ReadFile(fields); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := yaml.UnmarshalStrict(data, policy); err != nil {
			return nil, fmt.Errorf("%s: %w", fields, err)
		}
	}
	policy.Name, policy.Module = name, "file://"+file
	return policy, nil
}

func writeAdmissionConfiguration(file string, config *v1alpha1.WasmAdmissionConfiguration) error {
	raw, err := json.Marshal(config)
	if err != nil {
		return err
	}
	admission := apiserverv1.AdmissionConfiguration{
		Plugins: []apiserverv1.AdmissionPluginConfiguration{{
			Name:          wasm.PluginName,
			Configuration: &runtime.Unknown{ContentType: runtime.ContentTypeJSON, Raw: raw},
		}},
	}
	admission.APIVersion, admission.Kind = apiserverv1.SchemeGroupVersion.String(),
		"AdmissionConfiguration"
	data, err := yaml.Marshal(admission)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}
