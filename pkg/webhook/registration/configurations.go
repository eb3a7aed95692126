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

// Package registration registers policies as webhooks with an apiserver. It creates webhook
// configurations from their rules and keeps them up to date.
package registration

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/dispatch"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/webhook"
)

// Target says how the apiserver reaches the webhooks, and which requests it does not send there.
// Name, and one of Service and URL, are required.
type Target struct {
	// Name is the name of both webhook configurations.
	Name string
	// Service is the Service of the servers. Its path is ignored. Its port is the Service's, 443
	// by default.
	Service *admissionregistrationv1.ServiceReference
	// URL is the URL of a server: https:// without a path.
	URL string
	// CABundle has the certificates, in PEM, that verify the server's. Without it, the
	// configurations keep the CA bundle that another program writes there.
	CABundle []byte
	// ExcludedNamespaces are the namespaces of the servers themselves, whose objects can be
	// created while no server runs.
	ExcludedNamespaces []string
	// Exemptions are requests that no policy sees.
	Exemptions wasmadmission.Exemptions
}

// Configurations are the webhook configurations of a set of policies.
type Configurations struct {
	Validating *admissionregistrationv1.ValidatingWebhookConfiguration
	Mutating   *admissionregistrationv1.MutatingWebhookConfiguration
}

// Labels and annotations of the configurations.
const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "wasm-admission-webhook"
	// hashAnnotation distinguishes configurations of different policies.
	hashAnnotation = "wasm.admission.k8s.io/webhooks"
)

// defaultTimeoutSeconds is how long the apiserver waits for a policy without a timeout.
const defaultTimeoutSeconds = 10

// Policies returns the policies of a set, as far as webhooks depend on them. They stay valid after
// the set is closed.
func Policies(set *policyset.Set) []*wasmadmission.Policy {
	policies := make([]*wasmadmission.Policy, 0, len(set.Policies()))
	for _, p := range set.Policies() {
		policies = append(policies, p.Spec())
	}
	return policies
}

// Configurations returns the webhook configurations of policies. Webhooks are sorted by name, which
// is the order in which mutating ones are called. All fields have the values that the apiserver
// would default them to.
func (t *Target) Configurations(policies []*wasmadmission.Policy) Configurations {
	c := Configurations{
		Validating: &admissionregistrationv1.ValidatingWebhookConfiguration{
			TypeMeta: metav1.TypeMeta{
				APIVersion: admissionregistrationv1.SchemeGroupVersion.String(),
				Kind:       "ValidatingWebhookConfiguration",
			},
			ObjectMeta: t.metadata(),
		},
		Mutating: &admissionregistrationv1.MutatingWebhookConfiguration{
			TypeMeta: metav1.TypeMeta{
				APIVersion: admissionregistrationv1.SchemeGroupVersion.String(),
				Kind:       "MutatingWebhookConfiguration",
			},
			ObjectMeta: t.metadata(),
		},
	}
	c.Validating.Webhooks, c.Mutating.Webhooks = t.webhooks(policies)
	// The hash leaves the certificates out: servers learn of new ones at different times.
	bare := *t
	bare.CABundle = nil
	validating, mutating := bare.webhooks(policies)
	c.Validating.Annotations = map[string]string{hashAnnotation: hash(validating)}
	c.Mutating.Annotations = map[string]string{hashAnnotation: hash(mutating)}
	return c
}

func (t *Target) webhooks(policies []*wasmadmission.Policy) (
	validating []admissionregistrationv1.ValidatingWebhook,
	mutating []admissionregistrationv1.MutatingWebhook) {
	for _, p := range policies {
		v := t.validating(p)
		if !p.Mutating {
			validating = append(validating, v)
			continue
		}
		reinvocation := p.ReinvocationPolicy
		if reinvocation == "" {
			reinvocation = admissionregistrationv1.IfNeededReinvocationPolicy
		}
		mutating = append(mutating, admissionregistrationv1.MutatingWebhook{
			Name: v.Name, ClientConfig: t.client(webhook.Mutating, p.Name), Rules: v.Rules,
			FailurePolicy: v.FailurePolicy, MatchPolicy: v.MatchPolicy,
			NamespaceSelector: v.NamespaceSelector, ObjectSelector: v.ObjectSelector,
			SideEffects: v.SideEffects, TimeoutSeconds: v.TimeoutSeconds,
			AdmissionReviewVersions: v.AdmissionReviewVersions, MatchConditions: v.MatchConditions,
			ReinvocationPolicy: &reinvocation,
		})
	}
	return validating, mutating
}

func (t *Target) metadata() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: t.Name, Labels: map[string]string{managedByLabel: managedBy}}
}

// validating returns the webhook of a policy. It leaves the policy's match conditions to the
// server, which evaluates them with more than webhooks have.
func (t *Target) validating(p *wasmadmission.Policy) admissionregistrationv1.ValidatingWebhook {
	failure := p.FailurePolicy
	if p.Mode == wasmadmission.ModeMonitor {
		// The policy is only monitored, so a request is admitted even if no server answers.
		failure = admissionregistrationv1.Ignore
	}
	timeout := int32(defaultTimeoutSeconds)
	if p.TimeoutSeconds != nil {
		timeout = *p.TimeoutSeconds
	}
	sideEffects := admissionregistrationv1.SideEffectClassNone
	if p.SideEffects != nil &&
		*p.SideEffects == admissionregistrationv1.SideEffectClassNoneOnDryRun {
		sideEffects = *p.SideEffects
	}
	objects := &metav1.LabelSelector{}
	if p.ObjectSelector != nil {
		objects = p.ObjectSelector.DeepCopy()
	}
	return admissionregistrationv1.ValidatingWebhook{
		Name: dispatch.AnnotationDomain(p.Name), ClientConfig: t.client(webhook.Validating, p.Name),
		Rules: rules(p), FailurePolicy: &failure, MatchPolicy: &p.MatchPolicy,
		NamespaceSelector: t.namespaces(p), ObjectSelector: objects, SideEffects: &sideEffects,
		TimeoutSeconds:          &timeout,
		AdmissionReviewVersions: []string{"v1"}, MatchConditions: t.conditions(p),
	}
}

func (t *Target) client(phase, policy string) admissionregistrationv1.WebhookClientConfig {
	c := admissionregistrationv1.WebhookClientConfig{CABundle: t.CABundle}
	path := "/" + phase + "/" + policy
	if t.Service == nil {
		url := strings.TrimSuffix(t.URL, "/") + path
		c.URL = &url
		return c
	}
	c.Service = t.Service.DeepCopy()
	c.Service.Path = &path
	if c.Service.Port == nil {
		c.Service.Port = new(int32(443))
	}
	return c
}

func rules(p *wasmadmission.Policy) []admissionregistrationv1.RuleWithOperations {
	copied := make([]admissionregistrationv1.RuleWithOperations, len(p.Rules))
	for n := range p.Rules {
		copied[n] = *p.Rules[n].DeepCopy()
		if copied[n].Scope == nil {
			copied[n].Scope = new(admissionregistrationv1.AllScopes)
		}
	}
	return copied
}

// namespaces returns the policy's namespace selector. Every selector matches cluster-scoped
// objects; the server ignores them for namespaced policies.
func (t *Target) namespaces(p *wasmadmission.Policy) *metav1.LabelSelector {
	selector := &metav1.LabelSelector{}
	if p.NamespaceSelector != nil {
		selector = p.NamespaceSelector.DeepCopy()
	}
	if p.Namespace != "" {
		selector.MatchExpressions = append(selector.MatchExpressions,
			metav1.LabelSelectorRequirement{
				Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn,
				Values: []string{p.Namespace},
			})
	}
	excluded := slices.Concat(t.ExcludedNamespaces, t.Exemptions.Namespaces)
	slices.Sort(excluded)
	if excluded = slices.Compact(excluded); len(excluded) > 0 {
		selector.MatchExpressions = append(selector.MatchExpressions,
			metav1.LabelSelectorRequirement{
				Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn,
				Values: excluded,
			})
	}
	return selector
}

// conditions exclude requests that no policy sees in process either, so that they pass while no
// server runs.
func (t *Target) conditions(p *wasmadmission.Policy) []admissionregistrationv1.MatchCondition {
	var conditions []admissionregistrationv1.MatchCondition
	add := func(name, expression string) {
		conditions = append(conditions,
			admissionregistrationv1.MatchCondition{Name: name, Expression: expression})
	}
	if slices.ContainsFunc(p.Rules, matchesVirtual) {
		add("no-virtual-resources",
			fmt.Sprintf("!(request.resource.group in %s)", list(virtualGroups)))
	}
	if users := t.Exemptions.Usernames; len(users) > 0 {
		add("no-exempt-users", fmt.Sprintf("!(request.userInfo.username in %s)", list(users)))
	}
	if groups := t.Exemptions.Groups; len(groups) > 0 {
		add("no-exempt-groups",
			fmt.Sprintf("!request.userInfo.groups.exists(g, g in %s)", list(groups)))
	}
	return conditions
}

// virtualGroups have resources that are queries and are never stored. In process, admission does
// not see them, and newer apiservers do not send them to webhooks.
var virtualGroups = []string{"authentication.k8s.io", "authorization.k8s.io"}

func matchesVirtual(rule admissionregistrationv1.RuleWithOperations) bool {
	return slices.ContainsFunc(rule.APIGroups, func(group string) bool {
		return group == "*" || slices.Contains(virtualGroups, group)
	})
}

// list returns a list of strings in CEL.
func list(texts []string) string {
	quoted := make([]string, len(texts))
	for n, text := range texts {
		quoted[n] = strconv.QuoteToASCII(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// hash returns a hash of webhooks that is short enough for labels and for people.
func hash(webhooks any) string {
	data, err := json.Marshal(webhooks)
	if err != nil {
		return "" // webhooks always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
