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

// Package scaffolding writes files to start with: manifests of Kubewarden policies from modules'
// metadata and from Kubernetes' own policies, descriptions for Artifact Hub, and new policies.
package scaffolding

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// The kinds of manifests for a single policy.
const (
	KindClusterAdmissionPolicy = "ClusterAdmissionPolicy"
	KindAdmissionPolicy        = "AdmissionPolicy"
)

// Kinds are the kinds of manifests that [Policy.Manifest] writes.
var Kinds = []string{KindClusterAdmissionPolicy, KindAdmissionPolicy}

// manifest is a custom resource of policies.kubewarden.io/v1.
type manifest struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   manifestMeta `json:"metadata"`
	Spec       manifestSpec `json:"spec"`
}

// manifestMeta is the part of an object's metadata that users write.
type manifestMeta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type manifestSpec struct {
	Module                string                                       `json:"module"`
	Mode                  string                                       `json:"mode,omitempty"`
	Mutating              bool                                         `json:"mutating"`
	Rules                 []admissionregistrationv1.RuleWithOperations `json:"rules"`
	FailurePolicy         *admissionregistrationv1.FailurePolicyType   `json:"failurePolicy,omitempty"`
	MatchPolicy           *admissionregistrationv1.MatchPolicyType     `json:"matchPolicy,omitempty"`
	MatchConditions       []admissionregistrationv1.MatchCondition     `json:"matchConditions,omitempty"`
	NamespaceSelector     *metav1.LabelSelector                        `json:"namespaceSelector,omitempty"`
	ObjectSelector        *metav1.LabelSelector                        `json:"objectSelector,omitempty"`
	BackgroundAudit       *bool                                        `json:"backgroundAudit,omitempty"`
	ContextAwareResources []abi.ContextAwareResource                   `json:"contextAwareResources,omitempty"`
	Settings              runtime.RawExtension                         `json:"settings"`
}

func newManifest(kind string, metadata manifestMeta, spec *manifestSpec) ([]byte, error) {
	return yaml.Marshal(manifest{
		APIVersion: "policies.kubewarden.io/v1",
		Kind:       kind,
		Metadata:   metadata,
		Spec:       *spec,
	})
}

// Policy is the input of a manifest.
type Policy struct {
	// Kind is one of [Kinds].
	Kind string
	// Module is the module's URI.
	Module string
	// Metadata is the module's metadata.
	Metadata *abi.Metadata
	// Title names the policy. The default is the title in the metadata.
	Title string
	// Namespace is the namespace of an AdmissionPolicy. The default is that of the kubeconfig when
	// it is applied.
	Namespace string
	// Settings is a JSON object. The default is {}.
	Settings []byte
	// AllowContextAware grants the kinds that the module's metadata lists.
	AllowContextAware bool
}

// Manifest returns the manifest of a policy in YAML, and warnings for the person who applies it.
func (p *Policy) Manifest() (text []byte, warnings []string, err error) {
	metadata := p.Metadata
	title := p.Title
	if title == "" {
		title = metadata.Annotations[annotationTitle]
	}
	if title == "" {
		return nil, nil, fmt.Errorf(
			"the module's metadata has no annotation %s: name the policy with --title",
			annotationTitle)
	}
	if len(validation.IsDNS1123Subdomain(title)) > 0 {
		// The sentence is kwctl's, except for the remedy.
		return nil, nil, fmt.Errorf("Invalid title '%s'. Must conform to RFC 1123: use lowercase alphanumeric chars, '-' or '.', and start/end with an alphanumeric character: name the policy with --title", title) //nolint:staticcheck // see above
	}
	spec := &manifestSpec{
		Module:   p.Module,
		Mutating: metadata.Mutating,
		Rules:    rulesOf(metadata.Rules),
		Settings: runtime.RawExtension{Raw: p.Settings},
	}
	if len(p.Settings) == 0 {
		spec.Settings.Raw = []byte("{}")
	}
	if !metadata.BackgroundAudit {
		spec.BackgroundAudit = new(false)
	}
	if len(spec.Rules) == 0 {
		warnings = append(warnings,
			"spec.rules is empty, as the module's metadata has none: write which requests the policy is for")
	}
	warnings = append(warnings, p.grant(spec)...)
	if p.Kind == KindAdmissionPolicy && p.Namespace == "" {
		warnings = append(warnings,
			"metadata.namespace is missing, and a policy directory requires it: write it, or set it with --namespace")
	}
	annotations := map[string]string{}
	for _, name := range []string{annotationSeverity, annotationCategory} {
		if value := metadata.Annotations[name]; value != "" {
			annotations[name] = value
		}
	}
	text, err = newManifest(p.Kind,
		manifestMeta{Name: title, Namespace: p.Namespace, Annotations: annotations}, spec)
	return text, warnings, err
}

// grant grants the kinds that the module wants to read, if that is allowed. The warnings are
// kwctl's.
func (p *Policy) grant(spec *manifestSpec) (warnings []string) {
	wanted := p.Metadata.ContextAwareResources
	switch {
	case len(wanted) == 0:
		return nil
	case p.Kind == KindAdmissionPolicy:
		return []string{
			"The policy would read the cluster (" + kindsOf(wanted) +
				"), which an AdmissionPolicy cannot: make a ClusterAdmissionPolicy of it.",
		}
	case p.AllowContextAware:
		spec.ContextAwareResources = wanted
		return []string{
			"Policy has been granted access to the Kubernetes resources mentioned by its metadata.",
			"Carefully review the contents of the `contextAwareResources` attribute for abuses.",
		}
	}
	return []string{
		"Policy requires access to Kubernetes resources at evaluation time. For safety reasons, the `contextAwareResources` attribute has been left empty.",
		"It would read " + kindsOf(wanted) +
			": review these, and write them there or add --allow-context-aware.",
	}
}

func kindsOf(kinds []abi.ContextAwareResource) string {
	var names []string
	for _, kind := range kinds {
		names = append(names, kind.APIVersion+"/"+kind.Kind)
	}
	return strings.Join(names, ", ")
}

func rulesOf(rules []abi.Rule) []admissionregistrationv1.RuleWithOperations {
	all := []admissionregistrationv1.RuleWithOperations{}
	for _, rule := range rules {
		var operations []admissionregistrationv1.OperationType
		for _, operation := range rule.Operations {
			operations = append(operations, admissionregistrationv1.OperationType(operation))
		}
		all = append(all,
			admissionregistrationv1.RuleWithOperations{Operations: operations,
				Rule: admissionregistrationv1.Rule{
					APIGroups:   slices.Clone(rule.APIGroups),
					APIVersions: slices.Clone(rule.APIVersions),
					Resources:   slices.Clone(rule.Resources),
				}})
	}
	return all
}
