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

package scaffolding

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/strictyaml"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// These patterns match CEL variables and functions that do not come from the object. The converted
// policy receives their data in another way, or not at all.
var (
	wordParams     = regexp.MustCompile(`\bparams\b`)
	wordNamespace  = regexp.MustCompile(`\bnamespaceObject\b`)
	wordAuthorizer = regexp.MustCompile(`\bauthorizer\b`)
	wordClusterAPI = regexp.MustCompile(`\bkw\.k8s\b`)
)

// celSettings are the settings of Kubewarden's cel-policy.
type celSettings struct {
	FailurePolicy *admissionregistrationv1.FailurePolicyType `json:"failurePolicy,omitempty"`
	ParamKind     *admissionregistrationv1.ParamKind         `json:"paramKind,omitempty"`
	ParamRef      *admissionregistrationv1.ParamRef          `json:"paramRef,omitempty"`
	Variables     []admissionregistrationv1.Variable         `json:"variables,omitempty"`
	Validations   []admissionregistrationv1.Validation       `json:"validations"`
}

// CELPolicy is a Kubernetes policy that is converted into a Kubewarden policy.
type CELPolicy struct {
	policy  *admissionregistrationv1.ValidatingAdmissionPolicy
	binding *admissionregistrationv1.ValidatingAdmissionPolicyBinding

	spec     manifestSpec
	settings celSettings
	warnings []string
	errs     []error
}

// ReadCELPolicy reads a ValidatingAdmissionPolicy and its binding, in YAML. It ignores other
// objects in the same files.
func ReadCELPolicy(policy, binding []byte) (*CELPolicy, error) {
	c := &CELPolicy{}
	var err error
	if c.policy, err = find[admissionregistrationv1.ValidatingAdmissionPolicy](policy,
		"ValidatingAdmissionPolicy"); err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	if c.binding, err = find[admissionregistrationv1.ValidatingAdmissionPolicyBinding](binding,
		"ValidatingAdmissionPolicyBinding"); err != nil {
		return nil, fmt.Errorf("--binding: %w", err)
	}
	return c, nil
}

// find returns the only object of a kind in a stream of documents.
func find[T any](stream []byte, kind string) (found *T, err error) {
	for document := range strictyaml.Documents(stream) {
		var head metav1.TypeMeta
		object, err := strictyaml.ToJSON(document.Content)
		if err != nil {
			return nil, explain.YAML(err)
		}
		if json.Unmarshal(object, &head) != nil || head.Kind != kind {
			continue
		}
		if version := head.APIVersion; version != "admissionregistration.k8s.io/v1" &&
			version != "admissionregistration.k8s.io/v1beta1" {
			return nil, fmt.Errorf(
				"apiVersion: a %s of %q is not known: write admissionregistration.k8s.io/v1",
				kind, version)
		}
		if found != nil {
			return nil, fmt.Errorf("there are several %s: leave one in the file", kind)
		}
		found = new(T)
		if err := strictyaml.Unmarshal(document.Content, found); err != nil {
			return nil, fmt.Errorf("the %s cannot be read: %w", kind, explain.YAML(err))
		}
	}
	if found == nil {
		return nil, fmt.Errorf("there is no %s in the file", kind)
	}
	return found, nil
}

// Manifest returns a ClusterAdmissionPolicy with which Kubewarden's cel-policy, the module with the
// given URI, decides like the policy. It also returns warnings for the person who applies it. A
// part that cannot be converted is an error if the new policy would see or refuse more or fewer
// requests without it.
func (c *CELPolicy) Manifest(module string) (text []byte, warnings []string, err error) {
	c.spec = manifestSpec{Module: module, FailurePolicy: c.policy.Spec.FailurePolicy}
	c.settings = celSettings{
		FailurePolicy: c.policy.Spec.FailurePolicy,
		Variables:     c.policy.Spec.Variables, Validations: c.policy.Spec.Validations,
	}
	c.warnings, c.errs = nil, nil
	c.checkNames()
	c.params()
	c.match()
	c.conditions()
	c.actions()
	c.expressions()
	if len(c.policy.Spec.AuditAnnotations) > 0 {
		c.warn(
			"spec.auditAnnotations: auditAnnotations are not supported by Kubewarden's CEL policy yet. They will be ignored.")
	}
	if len(c.errs) > 0 {
		return nil, nil, errors.Join(c.errs...)
	}
	if c.spec.Settings.Raw, err = json.Marshal(c.settings); err != nil {
		return nil, nil, err
	}
	metadata := manifestMeta{
		Name:        c.binding.Name,
		Labels:      c.binding.Labels,
		Annotations: maps.Clone(c.binding.Annotations),
	}
	delete(metadata.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	text, err = newManifest(KindClusterAdmissionPolicy, metadata, &c.spec)
	return text, c.warnings, err
}

func (c *CELPolicy) warn(format string, arguments ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, arguments...))
}

func (c *CELPolicy) fail(format string, arguments ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, arguments...))
}

func (c *CELPolicy) checkNames() {
	switch {
	case c.policy.Name == "":
		c.fail("the ValidatingAdmissionPolicy has no metadata.name: write it")
	case c.binding.Spec.PolicyName != c.policy.Name:
		c.fail(
			"the ValidatingAdmissionPolicyBinding belongs to another policy: its spec.policyName is %q, and the ValidatingAdmissionPolicy's metadata.name is %q",
			c.binding.Spec.PolicyName, c.policy.Name)
	}
	if c.binding.Name == "" {
		c.fail(
			"the ValidatingAdmissionPolicyBinding has no metadata.name: write it, the new policy has the same")
	}
	if len(c.settings.Validations) == 0 {
		c.fail(
			"the ValidatingAdmissionPolicy has no spec.validations: Kubewarden's CEL policy decides by them")
	}
}

// params lets the policy read its parameters, which the server no longer passes to it.
func (c *CELPolicy) params() {
	kind, ref := c.policy.Spec.ParamKind, c.binding.Spec.ParamRef
	if (kind == nil) != (ref == nil) {
		c.fail(
			"Both paramKind and paramRef must be present together, or both absent: spec.paramKind is in the policy, spec.paramRef in the binding")
		return
	}
	if kind == nil {
		return
	}
	ref = ref.DeepCopy()
	if ref.ParameterNotFoundAction == nil {
		c.warn("spec.paramRef.parameterNotFoundAction not set in the binding; defaulting to Deny")
		ref.ParameterNotFoundAction = new(admissionregistrationv1.DenyAction)
	}
	c.settings.ParamKind, c.settings.ParamRef = kind, ref
	c.grant(abi.ContextAwareResource(*kind), "paramKind")
}

func (c *CELPolicy) grant(resource abi.ContextAwareResource, why string) {
	if !slices.Contains(c.spec.ContextAwareResources, resource) {
		c.spec.ContextAwareResources = append(c.spec.ContextAwareResources, resource)
	}
	c.warn(
		"granting access to %s/%s via spec.contextAwareResources (required by %s); review before applying",
		resource.APIVersion, resource.Kind, why)
}

// conditions converts the parts that webhooks also have.
func (c *CELPolicy) conditions() {
	c.spec.MatchConditions = c.policy.Spec.MatchConditions
	for n, condition := range c.spec.MatchConditions {
		if wordParams.MatchString(condition.Expression) {
			c.fail(
				"spec.matchConditions[%d].expression: it reads params, which the conditions of a ClusterAdmissionPolicy do not have: write it into spec.validations",
				n)
		}
	}
}

// actions selects the mode that is closest to the validation actions.
func (c *CELPolicy) actions() {
	actions := c.binding.Spec.ValidationActions
	if len(actions) == 0 || slices.Contains(actions, admissionregistrationv1.Deny) {
		if len(actions) > 1 {
			c.warn(
				"spec.validationActions: a policy in mode protect denies and does nothing else: %s is left out",
				others(actions))
		}
		return
	}
	c.spec.Mode = "monitor"
	c.warn(
		"spec.validationActions: nothing is denied, so the policy is in mode monitor, which only logs: %s is left out",
		others(actions))
}

func others(actions []admissionregistrationv1.ValidationAction) string {
	var names []string
	for _, action := range actions {
		if action != admissionregistrationv1.Deny {
			names = append(names, string(action))
		}
	}
	return strings.Join(names, ", ")
}

// expressions checks what the expressions read beside the object and the request.
func (c *CELPolicy) expressions() {
	namespace, cluster := false, false
	look := func(field, expression string) {
		namespace = namespace || wordNamespace.MatchString(expression)
		cluster = cluster || wordClusterAPI.MatchString(expression)
		if wordAuthorizer.MatchString(expression) {
			c.fail(
				"%s: it asks the authorizer, which Kubewarden's CEL policy does not have: leave it out",
				field)
		}
	}
	for n, variable := range c.settings.Variables {
		look(fmt.Sprintf("spec.variables[%d].expression", n), variable.Expression)
	}
	for n, v := range c.settings.Validations {
		look(fmt.Sprintf("spec.validations[%d].expression", n), v.Expression)
		look(fmt.Sprintf("spec.validations[%d].messageExpression", n), v.MessageExpression)
	}
	if namespace {
		c.grant(abi.ContextAwareResource{APIVersion: "v1", Kind: "Namespace"}, "namespaceObject")
	}
	if cluster {
		c.warn(
			"this policy calls kw.k8s.*: add each apiVersion and kind that it reads that way to spec.contextAwareResources, or the calls are denied")
	}
}
