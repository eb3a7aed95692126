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

package reload

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
)

// configured is the source that a configuration comes to.
type configured struct {
	config *wasmadmission.WasmAdmissionConfiguration
	// last is what Policies returned last, by the hash of what it was made of. Most looks
	// find the same files.
	last    *Desired
	lastErr error
}

// NewSource returns the source of a validated configuration: its own policies, and those
// of the manifests in its policy directory.
func NewSource(config *wasmadmission.WasmAdmissionConfiguration) Source {
	return &configured{config: config}
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
	own, err := json.Marshal([]any{c.config.Policies, c.config.PolicyGroups})
	if err != nil {
		return nil, fmt.Errorf("hashing the configuration: %w", err)
	}
	desired := &Desired{
		Policies:     slices.Clone(c.config.Policies),
		PolicyGroups: slices.Clone(c.config.PolicyGroups),
		Hash:         hash(own),
	}
	if c.config.PolicyDirectory == "" {
		desired.Warnings = c.warnings(desired)
		if err := requireMinimum(c.config, desired.Policies, desired.PolicyGroups); err != nil {
			return &Desired{Hash: desired.Hash}, err
		}
		return desired, nil
	}
	files, passedOver, err := kubewarden.ReadFiles(c.config.PolicyDirectory)
	if err != nil {
		return &Desired{Warnings: passedOver}, err
	}
	desired.Hash = hash(desired.Hash + files.Hash())
	if c.last == nil || c.last.Hash != desired.Hash {
		c.last, c.lastErr = c.add(desired, files)
	}
	// What is passed over is in no hash: it comes and goes while the set stays the same.
	answer := *c.last
	answer.Warnings = slices.Concat(passedOver, answer.Warnings)
	return &answer, c.lastErr
}

// requireMinimum returns an error if there are fewer policies than there have to be.
func requireMinimum(config *wasmadmission.WasmAdmissionConfiguration, policies []wasmadmission.Policy, groups []wasmadmission.PolicyGroup) error {
	count := len(policies) + len(groups)
	if count >= int(config.MinimumPolicies) {
		return nil
	}
	where := "the configuration has"
	if config.PolicyDirectory != "" {
		where = "the configuration and " + config.PolicyDirectory + " have"
	}
	return fmt.Errorf("minimumPolicies: Invalid value: %d: %s %d policies and groups: add those that are missing, or lower the number", config.MinimumPolicies, where, count)
}

// add adds what the files hold.
func (c *configured) add(desired *Desired, files kubewarden.Files) (*Desired, error) {
	manifests, err := files.Decode(c.config)
	if err != nil {
		return &Desired{Hash: desired.Hash}, err
	}
	desired.Policies = append(desired.Policies, manifests.Policies...)
	desired.PolicyGroups = append(desired.PolicyGroups, manifests.PolicyGroups...)
	if err := requireMinimum(c.config, desired.Policies, desired.PolicyGroups); err != nil {
		return &Desired{Hash: desired.Hash}, err
	}
	desired.Origins = make(map[string]string, len(manifests.Origins))
	for name, origin := range manifests.Origins {
		desired.Origins[name] = origin.String()
	}
	desired.Warnings = manifests.Warnings
	if len(files) == 0 {
		desired.Warnings = append(desired.Warnings, "policyDirectory: "+c.config.PolicyDirectory+" holds no manifest")
	}
	desired.Warnings = append(desired.Warnings, c.warnings(desired)...)
	return desired, nil
}

// warnings returns what can only be said of the configuration and the manifests together.
func (c *configured) warnings(desired *Desired) []string {
	return validation.WarningsForSecretReaders(c.config.Capabilities.Kubernetes.SecretReaders, desired.Policies, desired.PolicyGroups)
}
