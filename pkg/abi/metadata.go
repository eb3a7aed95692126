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

// MetadataSection is the name of the custom section in which a policy carries
// its metadata, as JSON.
const MetadataSection = "io.kubewarden.metadata"

// KubewardenVersion is the version of the Kubewarden stack whose protocol this
// package speaks. A policy that wants a later one is refused.
const KubewardenVersion = "1.36"

// What a policy says of the protocol's version.
const (
	// ProtocolVersion1 is the only version of the protocol that there is.
	ProtocolVersion1 = "v1"
	// ProtocolVersionUnknown is what is written into guests that cannot be asked: all but
	// those of waPC.
	ProtocolVersionUnknown = "Unknown"
)

// ExecutionMode is how a policy's guest is spoken to.
type ExecutionMode string

// The execution modes of Kubewarden.
const (
	ExecutionModeWaPC       ExecutionMode = "kubewarden-wapc"
	ExecutionModeWASI       ExecutionMode = "wasi"
	ExecutionModeOPA        ExecutionMode = "opa"
	ExecutionModeGatekeeper ExecutionMode = "gatekeeper"
)

// Metadata is what a policy says of itself.
type Metadata struct {
	// ProtocolVersion is "v1" for waPC guests and "Unknown" for others.
	ProtocolVersion string `json:"protocolVersion"`
	// Rules are what the policy wants to see; a configuration without rules
	// takes them from here.
	Rules []Rule `json:"rules"`
	// Annotations describe the policy to people.
	Annotations map[string]string `json:"annotations"`
	// Mutating is whether the policy changes objects.
	Mutating bool `json:"mutating"`
	// BackgroundAudit is a hint for audits of what exists already.
	BackgroundAudit bool `json:"backgroundAudit"`
	// ContextAwareResources is what the policy would like to read. It grants
	// nothing.
	ContextAwareResources []ContextAwareResource `json:"contextAwareResources"`
	// ExecutionMode is how the guest is spoken to; waPC if it does not say.
	ExecutionMode ExecutionMode `json:"executionMode"`
	// PolicyType is "kubernetes" (the default) or "raw".
	PolicyType string `json:"policyType"`
	// HostCapabilities is what the policy would like to call. It grants
	// nothing.
	HostCapabilities []string `json:"hostCapabilities"`
	// MinimumKubewardenVersion is the oldest stack that the policy runs on;
	// empty for any.
	MinimumKubewardenVersion string `json:"minimumKubewardenVersion"`
}

// Rule names requests as admission webhooks do.
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

// ReadMetadata finds a policy's metadata in its binary, and checks that it is
// complete and of this version of the protocol. Of several sections the
// first counts. Unknown fields are ignored.
func ReadMetadata(binary []byte) (*Metadata, error) {
	module, err := wasm.Decode(binary)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(module.Custom, func(c wasm.CustomSection) bool { return c.Name == MetadataSection })
	if n < 0 {
		return nil, fmt.Errorf("the module has no metadata (custom section %q): annotate it, for example with wasmctl annotate", MetadataSection)
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
	// The decoder cannot tell what is missing from what is empty.
	var present map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(section, &present); err != nil {
		return nil, err
	}
	if err := checkPresent(present); err != nil {
		return nil, err
	}
	return metadata, nil
}

// Validate says what keeps a host from having a policy with this metadata. It is an error
// with a line for each problem.
func (m *Metadata) Validate() error {
	var errs []error
	switch m.ExecutionMode {
	case ExecutionModeWaPC:
		switch m.ProtocolVersion {
		case ProtocolVersion1:
		case "":
			errs = append(errs, errors.New("protocolVersion: required for execution mode kubewarden-wapc"))
		default:
			errs = append(errs, fmt.Errorf("protocolVersion: %q is not supported by execution mode kubewarden-wapc, only %q is", m.ProtocolVersion, ProtocolVersion1))
		}
	case ExecutionModeWASI, ExecutionModeOPA, ExecutionModeGatekeeper:
		switch m.ProtocolVersion {
		case ProtocolVersion1, ProtocolVersionUnknown, "":
		default:
			errs = append(errs, fmt.Errorf("protocolVersion: %q is neither %q nor %q", m.ProtocolVersion, ProtocolVersion1, ProtocolVersionUnknown))
		}
	default:
		errs = append(errs, fmt.Errorf("executionMode: %q is none of kubewarden-wapc, wasi, opa, gatekeeper", m.ExecutionMode))
	}
	if m.PolicyType != "kubernetes" && m.PolicyType != "raw" {
		errs = append(errs, fmt.Errorf("policyType: %q is neither kubernetes nor raw", m.PolicyType))
	}
	for i, r := range m.ContextAwareResources {
		if r.APIVersion == "" || r.Kind == "" {
			errs = append(errs, fmt.Errorf("contextAwareResources[%d]: apiVersion and kind are both required", i))
		}
	}
	errs = append(errs, m.validateMinimumVersion())
	return errors.Join(errs...)
}

// validateMinimumVersion compares major and minor only, as Kubewarden does.
func (m *Metadata) validateMinimumVersion() error {
	if m.MinimumKubewardenVersion == "" {
		return nil
	}
	minimum, err := version.ParseSemantic(m.MinimumKubewardenVersion)
	if err != nil {
		return fmt.Errorf("minimumKubewardenVersion: %w", err)
	}
	running := version.MustParseGeneric(KubewardenVersion)
	if minimum.Major() > running.Major() || minimum.Major() == running.Major() && minimum.Minor() > running.Minor() {
		return fmt.Errorf("minimumKubewardenVersion: the policy requires Kubewarden version %s, this host speaks the protocol of %s", m.MinimumKubewardenVersion, KubewardenVersion)
	}
	return nil
}
