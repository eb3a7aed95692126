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

package dispatch

import (
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission/plugin/webhook"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// hook presents a policy to the webhook machinery.
type hook struct {
	policy   *policyset.Policy
	accessor webhook.WebhookAccessor
	// settingsHash is the hash of the policy's settings.
	settingsHash string
	// conditions are evaluated after everything else matches.
	conditions *conditions
	// needsNamespaces is set if matching depends on namespaces.
	needsNamespaces bool
}

func newHook(policy *policyset.Policy) *hook {
	spec := policy.Spec()
	// For the machinery, an absent selector selects nothing.
	namespaces, objects := orEverything(spec.NamespaceSelector), orEverything(spec.ObjectSelector)
	h := &hook{policy: policy, settingsHash: policy.SettingsHash()}
	// The match conditions are left out: the machinery would evaluate them without the namespace,
	// and would not report errors that it ignores.
	if spec.Mutating {
		h.accessor = webhook.NewMutatingWebhookAccessor(spec.Name, spec.Name,
			&admissionregistrationv1.MutatingWebhook{
				Name:              spec.Name,
				Rules:             spec.Rules,
				FailurePolicy:     &spec.FailurePolicy,
				MatchPolicy:       &spec.MatchPolicy,
				NamespaceSelector: namespaces,
				ObjectSelector:    objects,
			})
	} else {
		h.accessor = webhook.NewValidatingWebhookAccessor(spec.Name, spec.Name,
			&admissionregistrationv1.ValidatingWebhook{
				Name:              spec.Name,
				Rules:             spec.Rules,
				FailurePolicy:     &spec.FailurePolicy,
				MatchPolicy:       &spec.MatchPolicy,
				NamespaceSelector: namespaces,
				ObjectSelector:    objects,
			})
	}
	h.conditions = newConditions(spec.Name, h.accessor.GetType(), spec.MatchConditions)
	h.needsNamespaces = len(namespaces.MatchLabels)+len(namespaces.MatchExpressions) > 0 ||
		h.conditions.needNamespace
	return h
}

func orEverything(selector *metav1.LabelSelector) *metav1.LabelSelector {
	if selector == nil {
		return &metav1.LabelSelector{}
	}
	return selector
}

// reinvocable reports whether a mutating policy may be evaluated again for one request.
func (h *hook) reinvocable() bool {
	return h.policy.Spec().ReinvocationPolicy != admissionregistrationv1.NeverReinvocationPolicy
}
