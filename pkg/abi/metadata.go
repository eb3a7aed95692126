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

package abi

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/version"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
)

// MetadataSection is the name of the custom section that holds a policy's metadata as JSON.
const MetadataSection = "io.kubewarden.metadata"

// KubewardenVersion is the version of the Kubewarden stack whose protocol this package speaks.
// Policies that require a later version are refused.
const KubewardenVersion = "1.36"

// The values of protocolVersion in a policy's metadata.
const (
	// ProtocolVersion1 is the only version of the protocol so far.
	ProtocolVersion1 = "v1"
	// ProtocolVersionUnknown stands for the version of a guest that the host cannot ask. Only waPC
	// guests can be asked.
	ProtocolVersionUnknown = "Unknown"
)

// ExecutionMode says which calling convention or engine runs a policy's guest.
type ExecutionMode string

// The execution modes of Kubewarden.
const (
	ExecutionModeWaPC       ExecutionMode = "kubewarden-wapc"
	ExecutionModeWASI       ExecutionMode = "wasi"
	ExecutionModeOPA        ExecutionMode = "opa"
	ExecutionModeGatekeeper ExecutionMode = "gatekeeper"
)

// Metadata describes a policy. The policy itself carries it.
type Metadata struct {
	// ProtocolVersion is "v1" for waPC guests and "Unknown" for others.
	ProtocolVersion string `json:"protocolVersion"`
	// Rules select the requests that the policy wants to see. A configuration without rules uses
	// these.
	Rules []Rule `json:"rules"`
	// Annotations describe the policy to people.
	Annotations map[string]string `json:"annotations"`
	// Mutating reports whether the policy changes objects.
	Mutating bool `json:"mutating"`
	// BackgroundAudit is a hint for audits of existing objects.
	BackgroundAudit bool `json:"backgroundAudit"`
	// ContextAwareResources lists the kinds that the policy would like to read. It grants nothing.
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources"`
	// ExecutionMode is the guest's execution mode. The default is waPC.
	ExecutionMode ExecutionMode `json:"executionMode"`
	// PolicyType is "kubernetes" (the default) or "raw".
	PolicyType string `json:"policyType"`
	// HostCapabilities lists the host capabilities that the policy would like to call. It grants
	// nothing.
	HostCapabilities []string `json:"hostCapabilities"`
	// MinimumKubewardenVersion is the oldest Kubewarden stack that the policy runs on. An empty
	// value allows any version.
	MinimumKubewardenVersion string `json:"minimumKubewardenVersion"`
}

// Rule selects requests in the way that a webhook configuration does.
type Rule struct {
	APIGroups   []string `json:"apiGroups"`
	APIVersions []string `json:"apiVersions"`
	Resources   []string `json:"resources"`
	Operations  []string `json:"operations"`
}

// ContextAwareResource is a kind that a policy would like to read.
type ContextAwareResource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// ReadMetadata reads a policy's metadata from its binary. It checks that the metadata is complete
// and belongs to this version of the protocol. If there are several metadata sections, the first
// one counts. Unknown fields are ignored.
func ReadMetadata(binary []byte) (*Metadata, error) {
	module, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(module.Custom, func(c wasm.CustomSection) bool {
		return c.Name == MetadataSection
	})
	if n < 0 {
		return nil, fmt.Errorf(
			"the module has no metadata (custom section %q): annotate it, for example with wasmctl annotate",
			MetadataSection)
	}
	metadata, err := decodeMetadata(module.Custom[n].Payload)
	if err != nil {
		return nil, fmt.Errorf("custom section %q: %w", MetadataSection, err)
	}
	if err := metadata.Validate(); err != nil {
		return nil, fmt.Errorf("custom section %q: %w", MetadataSection, err)
	}
	return metadata, nil
}

func decodeMetadata(section []byte) (*Metadata, error) {
	metadata := &Metadata{
		BackgroundAudit: true,
		ExecutionMode:   ExecutionModeWaPC,
		PolicyType:      "kubernetes",
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(section, metadata); err != nil {
		return nil, err
	}
	// The decoder cannot tell a missing field from an empty one.
	var present map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(section, &present); err != nil {
		return nil, err
	}
	if err := checkPresent(present); err != nil {
		return nil, err
	}
	return metadata, nil
}

// Validate returns the reasons why a host cannot accept a policy with this metadata. The error has
// one line for each problem.
func (m *Metadata) Validate() error {
	var errs []error
	switch m.ExecutionMode {
	case ExecutionModeWaPC:
		switch m.ProtocolVersion {
		case ProtocolVersion1:
		case "":
			errs = append(errs,
				errors.New("protocolVersion: required for execution mode kubewarden-wapc"))
		default:
			errs = append(errs,
				fmt.Errorf(
					"protocolVersion: %q is not supported by execution mode kubewarden-wapc, only %q is",
					m.ProtocolVersion, ProtocolVersion1))
		}
	case ExecutionModeWASI, ExecutionModeOPA, ExecutionModeGatekeeper:
		switch m.ProtocolVersion {
		case ProtocolVersion1, ProtocolVersionUnknown, "":
		default:
			errs = append(errs,
				fmt.Errorf("protocolVersion: %q is neither %q nor %q", m.ProtocolVersion,
					ProtocolVersion1, ProtocolVersionUnknown))
		}
	default:
		errs = append(errs,
			fmt.Errorf("executionMode: %q is none of kubewarden-wapc, wasi, opa, gatekeeper",
				m.ExecutionMode))
	}
	if m.PolicyType != "kubernetes" && m.PolicyType != "raw" {
		errs = append(errs,
			fmt.Errorf("policyType: %q is neither kubernetes nor raw", m.PolicyType))
	}
	for i, r := range m.ContextAwareResources {
		if r.APIVersion == "" || r.Kind == "" {
			errs = append(errs,
				fmt.Errorf("contextAwareResources[%d]: apiVersion and kind are both required", i))
		}
	}
	errs = append(errs, m.validateMinimumVersion())
	return errors.Join(errs...)
}

// validateMinimumVersion compares only the major and minor versions, as Kubewarden does.
func (m *Metadata) validateMinimumVersion() error {
	if m.MinimumKubewardenVersion == "" {
		return nil
	}
	minimum, err := version.ParseSemantic(m.MinimumKubewardenVersion)
	if err != nil {
		return fmt.Errorf("minimumKubewardenVersion: %w", err)
	}
	running := version.MustParseGeneric(KubewardenVersion)
	if minimum.Major() > running.Major() || minimum.Major() == running.Major() &&
		minimum.Minor() > running.Minor() {
		return fmt.Errorf(
			"minimumKubewardenVersion: the policy requires Kubewarden version %s, this host speaks the protocol of %s",
			m.MinimumKubewardenVersion, KubewardenVersion)
	}
	return nil
}
