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
	"context"
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// namespacesTimeout is how long a request waits for the namespace informer
// after a start, within its own deadline: as long as other plugins wait.
const namespacesTimeout = 10 * time.Second

// hook is a policy as the webhook machinery sees it.
type hook struct {
	policy   *policyset.Policy
	accessor webhook.WebhookAccessor
	// needsNamespaces is whether matching looks at labels of namespaces.
	needsNamespaces bool
}

func newHook(policy *policyset.Policy) *hook {
	spec := policy.Spec()
	h := &admissionregistrationv1.ValidatingWebhook{
		Name:              policy.Name(),
		Rules:             spec.Rules,
		FailurePolicy:     &spec.FailurePolicy,
		MatchPolicy:       &spec.MatchPolicy,
		NamespaceSelector: spec.NamespaceSelector,
		ObjectSelector:    spec.ObjectSelector,
		MatchConditions:   spec.MatchConditions,
	}
	// The machinery takes an absent selector for one that selects nothing.
	if h.NamespaceSelector == nil {
		h.NamespaceSelector = &metav1.LabelSelector{}
	}
	if h.ObjectSelector == nil {
		h.ObjectSelector = &metav1.LabelSelector{}
	}
	return &hook{
		policy:          policy,
		accessor:        webhook.NewValidatingWebhookAccessor(policy.Name(), policy.Name(), h),
		needsNamespaces: len(h.NamespaceSelector.MatchLabels)+len(h.NamespaceSelector.MatchExpressions) > 0,
	}
}

// matcher decides which policies a request is evaluated by.
type matcher struct {
	// hooks is here for its ShouldCallHook alone. Its Dispatch leaves out what
	// policies from disk may intercept, and waits when there is no need.
	hooks            *generic.Webhook
	namespacesSynced func() bool
}

func newMatcher(config Config) (*matcher, error) {
	hooks, err := generic.NewWebhook(admission.NewHandler(operations...), nil, nil,
		func(*webhookutil.ClientManager) generic.Dispatcher { return nil })
	if err != nil {
		return nil, fmt.Errorf("setting up the matching of requests: %w", err)
	}
	hooks.SetExternalKubeClientSet(config.Client)
	hooks.SetExternalKubeInformerFactory(config.Informers)
	hooks.SetUnconditionalAuthorizer(config.Authorizer)
	return &matcher{
		hooks:            hooks,
		namespacesSynced: config.Informers.Core().V1().Namespaces().Informer().HasSynced,
	}, nil
}

// invocation is a policy that a request is to be evaluated by, and the review
// that it gets.
type invocation struct {
	policy *policyset.Policy
	review *review
}

// match returns the invocations of those candidates that a request matches. An
// error means that the request is rejected: as with webhooks, a request whose
// namespace cannot be looked up, or whose object cannot be converted, does not
// pass.
func (m *matcher) match(ctx context.Context, r *request, hooks []*hook, candidates bitset) ([]invocation, error) {
	var invocations []invocation
	for n := range candidates.all() {
		h := hooks[n]
		if h.needsNamespaces && !m.waitForNamespaces(ctx) {
			return nil, admission.NewForbidden(r.attr, fmt.Errorf("WasmAdmission policy %q: not yet ready to handle request: namespaces are not known yet", h.policy.Name()))
		}
		call, status := m.hooks.ShouldCallHook(ctx, h.accessor, r.attr, r.interfaces, r)
		if status != nil {
			return nil, status
		}
		if call == nil {
			continue
		}
		review, err := r.review(call)
		if err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("WasmAdmission policy %q: %w", h.policy.Name(), err))
		}
		invocations = append(invocations, invocation{policy: h.policy, review: review})
	}
	return invocations, nil
}

func (m *matcher) waitForNamespaces(ctx context.Context) bool {
	if m.namespacesSynced() {
		return true
	}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, namespacesTimeout, true, func(context.Context) (bool, error) {
		return m.namespacesSynced(), nil
	})
	return err == nil
}
