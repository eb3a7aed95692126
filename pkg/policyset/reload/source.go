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
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Source says which policies to serve. The manager asks it repeatedly, and never concurrently.
type Source interface {
	// Policies returns the policies that are wanted now, validated. An error, with one line for
	// each problem, is a bad change and never means that no policies are wanted. With an error, the
	// result only has a hash and warnings, if they are known. The caller must not change the
	// result.
	Policies(ctx context.Context) (*Desired, error)
	// Paths returns the files and directories that Policies depends on. It may be called
	// concurrently with Policies.
	Paths() []string
}

// Desired is the set that a [Source] wants to be served.
type Desired struct {
	Policies     []wasmadmission.Policy
	PolicyGroups []wasmadmission.PolicyGroup
	// Hash is the SHA-256 of everything that the set was read from, in hexadecimal digits. It is
	// the same for the same files. "" means that it is not known.
	Hash string
	// Origins map names of policies and groups to the places where they come from, if these are not
	// obvious.
	Origins map[string]string
	// Warnings are lines for the administrator.
	Warnings []string
}

// address is the address of a policy's module, with the module that it must be.
type address struct {
	URI string
	// Digest is the digest that the policy asks for, or "" if it takes any.
	Digest string
	// Demands are the demands on its signatures, as in [module.Request].
	Demands string `json:",omitempty"`
}

// addressOf returns the address in a request.
func addressOf(r module.Request) address { return address{r.URI, r.Digest, r.Demands} }

// request returns the request that fetches the module at the address.
func (a address) request() module.Request {
	return module.Request{URI: a.URI, Digest: a.Digest, Demands: a.Demands}
}

// modules returns the addresses of all modules, each once, sorted.
func (d *Desired) modules() []address {
	var all []address
	for n := range d.Policies {
		p := &d.Policies[n]
		all = append(all, addressOf(policyset.ModuleRequest(p.Module, p.Digest, p.Verification)))
	}
	for n := range d.PolicyGroups {
		for m := range d.PolicyGroups[n].Policies {
			member := &d.PolicyGroups[n].Policies[m]
			all = append(all,
				addressOf(policyset.ModuleRequest(member.Module, member.Digest,
					member.Verification)))
		}
	}
	slices.SortFunc(all, func(a, b address) int {
		return cmp.Or(cmp.Compare(a.URI, b.URI), cmp.Compare(a.Digest, b.Digest),
			cmp.Compare(a.Demands, b.Demands))
	})
	return slices.Compact(all)
}

// configured is the source of a configuration.
type configured struct {
	config *wasmadmission.WasmAdmissionConfiguration
	// last is the last result of Policies, and the hash of what it was read from. Most looks find
	// the same files.
	last    *Desired
	lastErr error
	// lastWithoutEffect are the warnings about files and objects that produce no policy.
	lastWithoutEffect []string
}

// NewSource returns the source of a validated configuration: its own policies, and those of the
// manifests in its policy directory.
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
		return c.enough(desired, nil)
	}
	files, passedOver, err := kubewarden.ReadFiles(c.config.PolicyDirectory)
	if err != nil {
		return &Desired{Warnings: passedOver}, err
	}
	desired.Hash = hash(desired.Hash + files.Hash())
	if c.last == nil || c.last.Hash != desired.Hash {
		c.last, c.lastErr = c.add(desired, files)
	}
	// Warnings about skipped files are not part of the hash, so they can change while the set stays
	// the same.
	answer := *c.last
	answer.Warnings = slices.Concat(passedOver, answer.Warnings)
	if c.lastErr != nil {
		return &answer, c.lastErr
	}
	return c.enough(&answer, slices.Concat(passedOver, c.lastWithoutEffect))
}

// enough returns the desired set if it has enough policies. Otherwise the error names the files and
// objects in the policy directory that produce no policy, because one of them may be the missing
// policy.
func (c *configured) enough(desired *Desired, withoutEffect []string) (*Desired, error) {
	err := requireMinimum(c.config, desired.Policies, desired.PolicyGroups)
	if err == nil {
		return desired, nil
	}
	if most := 5; len(withoutEffect) > most {
		withoutEffect = append(withoutEffect[:most:most],
			fmt.Sprintf("… and %d more", len(withoutEffect)-most))
	}
	if len(withoutEffect) > 0 {
		err = fmt.Errorf("%w; files and objects without effect: %s", err,
			strings.Join(withoutEffect, "; "))
	}
	return &Desired{Hash: desired.Hash, Warnings: desired.Warnings}, err
}

// requireMinimum returns an error if there are fewer policies than minimumPolicies.
func requireMinimum(config *wasmadmission.WasmAdmissionConfiguration,
	policies []wasmadmission.Policy, groups []wasmadmission.PolicyGroup) error {
	count := len(policies) + len(groups)
	if count >= int(config.MinimumPolicies) {
		return nil
	}
	where := "the configuration has"
	if config.PolicyDirectory != "" {
		where = "the configuration and " + config.PolicyDirectory + " have"
	}
	return fmt.Errorf(
		"minimumPolicies: Invalid value: %d: %s %d policies and groups: add the missing ones, or lower the number",
		config.MinimumPolicies, where, count)
}

// add adds the policies in the files.
func (c *configured) add(desired *Desired, files kubewarden.Files) (*Desired, error) {
	manifests, err := files.Decode(c.config)
	if err != nil {
		return &Desired{Hash: desired.Hash, Warnings: manifests.Warnings}, err
	}
	desired.Policies = append(desired.Policies, manifests.Policies...)
	desired.PolicyGroups = append(desired.PolicyGroups, manifests.PolicyGroups...)
	c.lastWithoutEffect = manifests.WithoutEffect
	desired.Origins = manifests.OriginTexts()
	desired.Warnings = manifests.Warnings
	if len(files) == 0 {
		desired.Warnings = append(desired.Warnings, "policyDirectory: "+c.config.PolicyDirectory+
			" contains no manifest")
	}
	desired.Warnings = append(desired.Warnings, c.warnings(desired)...)
	return desired, nil
}

// warnings returns the warnings that depend on both the configuration and the manifests.
func (c *configured) warnings(desired *Desired) []string {
	return validation.WarningsForSecretReaders(c.config.Capabilities.Kubernetes.SecretReaders,
		desired.Policies, desired.PolicyGroups)
}
