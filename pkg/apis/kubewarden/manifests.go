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

// Package kubewarden reads Kubewarden manifests as they are applied to a cluster, objects of
// policies.kubewarden.io, and converts them to policies of the configuration. Decoding is strict:
// an unknown field is an error, because a misspelled field would silently have no effect. Every
// problem names file, document, object and field.
package kubewarden

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
)

const (
	// maxPolicies bounds the policies and groups of all files together.
	maxPolicies = 1000
	// maxWarnings bounds the number of warnings: two for each policy.
	maxWarnings = 2 * maxPolicies
)

// Manifests are the policies and groups of a directory. They are immutable.
type Manifests struct {
	// Policies are the policies, in the order of files and documents. They are valid. Their names
	// are unique among all policies and groups, here and in the configuration.
	Policies []wasmadmission.Policy
	// PolicyGroups are the groups, in the same order and equally valid.
	PolicyGroups []wasmadmission.PolicyGroup
	// Origins maps the name of each policy and group to the place where it comes from.
	Origins map[string]Origin
	// Warnings name what is probably a mistake in the manifests, one line each. Their number is
	// bounded.
	Warnings []string
	// WithoutEffect are the warnings about files and objects that produce no policy or group.
	WithoutEffect []string
	// Hash identifies these manifests. See [Files.Hash].
	Hash string
}

// OriginTexts maps the name of each policy and group to its origin, as messages name it.
func (m *Manifests) OriginTexts() map[string]string {
	texts := make(map[string]string, len(m.Origins))
	for name, origin := range m.Origins {
		texts[name] = origin.String()
	}
	return texts
}

// Decode converts the objects in the files and validates them like the policies of the
// configuration. From the configuration it takes the names in use, the conditions for fetching
// modules, and the limits. The error has one line for each problem. With an error, the result has
// warnings but no policies.
func (f Files) Decode(config *wasmadmission.WasmAdmissionConfiguration) (*Manifests, error) {
	d := decoder{
		config:    config,
		taken:     map[string]string{},
		manifests: &Manifests{Origins: map[string]Origin{}, Hash: f.Hash()},
	}
	for i, policy := range config.Policies {
		d.taken[policy.Name] = validation.PolicyPath(i, policy.Name).String() +
			" of the configuration"
	}
	for i, group := range config.PolicyGroups {
		d.taken[group.Name] = validation.PolicyGroupPath(i, group.Name).String() +
			" of the configuration"
	}
	for _, file := range f {
		d.file(file)
	}
	if err := d.problems.err(); err != nil {
		return &Manifests{
			Warnings:      d.manifests.Warnings,
			WithoutEffect: d.manifests.WithoutEffect,
			Hash:          d.manifests.Hash,
		}, err
	}
	return d.manifests, nil
}

// decoder collects the content of the files.
type decoder struct {
	config    *wasmadmission.WasmAdmissionConfiguration
	manifests *Manifests
	problems  problems
	// taken maps each name in use to its owner, for messages.
	taken map[string]string
}

func (d *decoder) file(file File) {
	documents, err := split(file)
	if err != nil {
		d.problems.add(file.Path, err)
		return
	}
	if len(documents) == 0 {
		d.withoutEffect(file.Path + ": contains no object: write one or remove the file")
	}
	for i := range documents {
		origin := Origin{File: file.Path, Document: i + 1}
		content, err := documents[i].toJSON()
		if err != nil {
			d.problems.add(origin.String(), err)
			continue
		}
		d.document(content, origin)
	}
}

// document decodes an object, or each object of a List.
func (d *decoder) document(content []byte, origin Origin) {
	version, err := identify(content, &origin)
	if err != nil {
		d.problems.add(origin.String(), err)
		return
	}
	list, isList, err := items(content, version, origin.Kind)
	if err != nil {
		d.problems.add(origin.String(), err)
	}
	switch {
	case isList && origin.Item > 0:
		d.problems.add(origin.String(), errors.New("is a List in a List: put the items into one"))
	case isList:
		for i, item := range list {
			d.document(item, Origin{File: origin.File, Document: origin.Document, Item: i + 1})
		}
	default:
		if err := checkKind(version, origin.Kind); err != nil {
			d.problems.add(origin.String(), err)
			return
		}
		d.object(content, origin)
	}
}

func (d *decoder) object(content []byte, origin Origin) {
	if origin.Kind == kindServer {
		d.withoutEffect(origin.String() + ": has no effect in process: there is no policy server")
		return
	}
	if len(d.manifests.Origins) == maxPolicies {
		d.problems.add(origin.String(),
			fmt.Errorf("exceeds the limit of %d policies and groups: remove some", maxPolicies))
		return
	}
	switch origin.Kind {
	case kindClusterPolicy:
		if spec, err := decode[clusterPolicySpec](content); d.decoded(origin, err, spec != nil) {
			d.policy(spec.policy(), spec.Mutating, origin)
		}
	case kindPolicy:
		if spec, err := decode[policySpec](content); d.decoded(origin, err, spec != nil) {
			d.policy(spec.policy(), spec.Mutating, origin)
		}
	case kindClusterGroup:
		if spec, err := decode[clusterGroupSpec](content); d.decoded(origin, err, spec != nil) {
			d.group(spec.group(), origin)
		}
	case kindGroup:
		if spec, err := decode[groupSpec](content); d.decoded(origin, err, spec != nil) {
			d.group(spec.group(), origin)
		}
	}
}

// decoded reports the problems of an object. It returns whether there is a spec to check further.
func (d *decoder) decoded(origin Origin, err error, found bool) bool {
	if err != nil {
		d.problems.add(origin.String(), err)
	}
	return found
}

func (d *decoder) policy(policy *wasmadmission.Policy, mutating *bool, origin Origin) {
	spec := field.NewPath("spec")
	errs := slices.Concat(validatePolicy(policy, mutating, spec),
		origin.confine(&policy.Namespace, policy.Rules, spec),
		validation.ValidatePolicy(policy, d.config, spec))
	if d.take(origin, errs) {
		policy.Name = origin.id()
		d.warn(origin, warningsForPolicy(policy, d.config, spec))
		d.manifests.Policies = append(d.manifests.Policies, *policy)
	}
}

func (d *decoder) group(group *wasmadmission.PolicyGroup, origin Origin) {
	spec := field.NewPath("spec")
	errs := slices.Concat(validateGroup(group, spec),
		origin.confine(&group.Namespace, group.Rules, spec),
		validation.ValidatePolicyGroup(group, d.config, spec))
	if d.take(origin, errs) {
		group.Name = origin.id()
		d.warn(origin, warningsForGroup(group, d.config, spec))
		d.manifests.PolicyGroups = append(d.manifests.PolicyGroups, *group)
	}
}

// take claims the name of an object's policy. It returns whether the object has no further
// problems.
func (d *decoder) take(origin Origin, errs field.ErrorList) bool {
	errs = append(origin.validate(), errs...)
	for _, err := range errs {
		d.problems.add(origin.String(), err)
	}
	if origin.Name == "" {
		return false
	}
	id := origin.id()
	if other, found := d.taken[id]; found {
		d.problems.add(origin.String(),
			fmt.Errorf(
				"metadata.name: gives the policy the name %q, which %s already has: rename one of the two",
				abbreviate(id), other))
		return false
	}
	d.taken[id] = origin.String()
	d.manifests.Origins[id] = origin
	return len(errs) == 0
}

func (d *decoder) warn(origin Origin, warnings []string) {
	for _, warning := range warnings {
		if len(d.manifests.Warnings) < maxWarnings {
			d.manifests.Warnings = append(d.manifests.Warnings,
				fmt.Sprintf("%s: %s", origin, warning))
		}
	}
}

func (d *decoder) withoutEffect(warning string) {
	if len(d.manifests.Warnings) < maxWarnings {
		d.manifests.Warnings = append(d.manifests.Warnings, warning)
		d.manifests.WithoutEffect = append(d.manifests.WithoutEffect, warning)
	}
}
