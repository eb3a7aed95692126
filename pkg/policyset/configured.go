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

package policyset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
)

// Manifests is what a file in the policy directory holds.
type Manifests struct {
	Policies     []wasmadmission.Policy
	PolicyGroups []wasmadmission.PolicyGroup
	// Warnings are lines for the administrator.
	Warnings []string
}

// DecodeFunc makes policies of a file's content, with defaults applied. An error has a
// line for each problem.
type DecodeFunc func(data []byte) (*Manifests, error)

// configured is the source that a configuration comes to.
type configured struct {
	config *wasmadmission.WasmAdmissionConfiguration
	decode DecodeFunc
}

// NewSource returns the source of a validated configuration: its own policies and those
// in the files of its policy directory, which decode reads. Decode may be nil if there
// is no such directory.
func NewSource(config *wasmadmission.WasmAdmissionConfiguration, decode DecodeFunc) Source {
	return &configured{config, decode}
}

// Paths implements [Source].
func (c *configured) Paths() []string {
	var paths []string
	for _, path := range []string{c.config.PolicyDirectory, c.config.Sources.DockerConfig} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	for _, authority := range c.config.Sources.Authorities {
		paths = append(paths, authority.Files...)
	}
	return paths
}

// Policies implements [Source].
func (c *configured) Policies(context.Context) (*Desired, error) {
	desired := &Desired{
		Policies:     slices.Clone(c.config.Policies),
		PolicyGroups: slices.Clone(c.config.PolicyGroups),
	}
	own, err := json.Marshal([]any{c.config.Policies, c.config.PolicyGroups})
	if err != nil {
		return &Desired{}, fmt.Errorf("hashing the configuration: %w", err)
	}
	sum := sha256.New()
	_, _ = sum.Write(own) // a hash takes everything
	if c.config.PolicyDirectory == "" {
		desired.Hash = hex.EncodeToString(sum.Sum(nil))
		return desired, nil
	}
	read, err := readDirectory(c.config.PolicyDirectory)
	if err != nil {
		return &Desired{}, fmt.Errorf("policyDirectory: %w", err)
	}
	fmt.Fprintln(sum, read.hash)
	desired.Hash = hex.EncodeToString(sum.Sum(nil))
	if err := c.add(desired, read); err != nil {
		return &Desired{Hash: desired.Hash}, err
	}
	return desired, nil
}

// add adds what the files of the policy directory hold.
func (c *configured) add(desired *Desired, read *directory) error {
	desired.Warnings = read.warnings()
	var problems []string
	for _, file := range read.files {
		path := filepath.Join(c.config.PolicyDirectory, file.name)
		manifests, err := c.decodeFile(file)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				problems = append(problems, path+": "+strings.TrimSuffix(line, "\n"))
			}
			continue
		}
		desired.Policies = append(desired.Policies, manifests.Policies...)
		desired.PolicyGroups = append(desired.PolicyGroups, manifests.PolicyGroups...)
		for _, warning := range manifests.Warnings {
			desired.Warnings = append(desired.Warnings, path+": "+warning)
		}
	}
	if len(problems) == 0 {
		// What is wrong with the whole: names that occur twice.
		if err := JoinProblems(c.validate(desired.Policies, desired.PolicyGroups)); err != nil {
			problems = append(problems, "policyDirectory: "+strings.ReplaceAll(err.Error(), "\n", "\npolicyDirectory: "))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s", strings.Join(problems, "\n"))
	}
	return nil
}

// decodeFile decodes one file and says what is wrong with its policies.
func (c *configured) decodeFile(file file) (manifests *Manifests, err error) {
	defer func() {
		if r := recover(); r != nil {
			manifests, err = nil, fmt.Errorf("panic while the file was decoded: %v", r)
		}
	}()
	manifests, err = c.decode(file.content)
	if err != nil {
		return nil, err
	}
	if err := JoinProblems(c.validate(manifests.Policies, manifests.PolicyGroups)); err != nil {
		return nil, err
	}
	return manifests, nil
}

// validate finds what is wrong with policies beside the rest of the configuration.
func (c *configured) validate(policies []wasmadmission.Policy, groups []wasmadmission.PolicyGroup) field.ErrorList {
	config := *c.config
	config.PolicyDirectory = ""
	config.Policies, config.PolicyGroups = policies, groups
	return validation.ValidateConfiguration(&config)
}
