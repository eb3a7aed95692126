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

// Package unmatched finds rules of policies that match nothing that the apiserver serves, because a
// resource is misspelled, a version is gone, or a definition was never applied. Such a rule is
// valid, but silently enforces nothing.
package unmatched

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
)

// Served are the resources that an apiserver serves.
type Served struct {
	// Resources are the resources and subresources in the form of discovery.
	Resources []*metav1.APIResourceList
	// Unknown are group versions whose resources are unknown, for example because their extension
	// server is down. The checker does not warn about rules that may match them.
	Unknown []schema.GroupVersion
	// Excluded are the resources that never go through admission.
	Excluded []schema.GroupResource
}

// find returns one line for each rule of a policy that matches nothing, with the policy's name in
// messages.
func (s *Served) find(policy *wasmadmission.Policy) (lines []string) {
	for n := range policy.Rules {
		rule := &policy.Rules[n]
		if s.matches(rule, policy.Namespace) {
			continue
		}
		lines = append(lines,
			fmt.Sprintf(
				"policy %q: rules[%d] matches nothing that is served and enforces nothing: apiGroups [%s], apiVersions [%s], resources [%s]: "+
					"fix it, or ignore this if their definitions come later",
				policy.Name, n, quoted(rule.APIGroups), quoted(rule.APIVersions),
				quoted(rule.Resources)))
	}
	return lines
}

func quoted(names []string) string {
	texts := make([]string, len(names))
	for n, name := range names {
		texts[n] = fmt.Sprintf("%q", name)
	}
	return strings.Join(texts, ", ")
}

// matches reports whether a rule matches anything. A namespaced policy only sees namespaced
// resources.
func (s *Served) matches(rule *admissionregistrationv1.RuleWithOperations, namespace string) bool {
	for _, version := range s.Unknown {
		// For unknown resources, only group and version can be compared.
		if anyOf(rule.APIGroups, version.Group) && anyOf(rule.APIVersions, version.Version) {
			return true
		}
	}
	for _, list := range s.Resources {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for n := range list.APIResources {
			resource := &list.APIResources[n]
			if namespace != "" && !resource.Namespaced || s.excludes(version.Group, resource.Name) {
				continue
			}
			matcher := rules.Matcher{Rule: *rule, Attr: attributes(version, resource, rule)}
			if matcher.Matches() {
				return true
			}
		}
	}
	return false
}

func (s *Served) excludes(group, name string) bool {
	resource, _, _ := strings.Cut(name, "/")
	for _, excluded := range s.Excluded {
		if excluded.Group == group && excluded.Resource == resource {
			return true
		}
	}
	return false
}

func anyOf(names []string, name string) bool {
	for _, n := range names {
		if n == "*" || n == name {
			return true
		}
	}
	return false
}

// attributes returns the attributes of a request for a resource that a rule may match. The
// operations of the resource do not matter.
func attributes(version schema.GroupVersion, resource *metav1.APIResource,
	rule *admissionregistrationv1.RuleWithOperations) admission.Attributes {
	name, subresource, _ := strings.Cut(resource.Name, "/")
	namespace := ""
	if resource.Namespaced {
		namespace = "any"
	}
	operation := admission.Create
	if len(rule.Operations) > 0 && rule.Operations[0] != admissionregistrationv1.OperationAll {
		operation = admission.Operation(rule.Operations[0])
	}
	return admission.NewAttributesRecord(nil, nil, schema.GroupVersionKind{}, namespace, "",
		version.WithResource(name), subresource, operation, nil, false, nil)
}
