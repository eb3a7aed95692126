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
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/namespace"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
)

// namespacesTimeout is how long a request waits for the namespace informer after a start, within
// its own deadline. Other plugins wait as long.
const namespacesTimeout = 10 * time.Second

// matcher decides which policies evaluate a request.
type matcher struct {
	// hooks is only used for ShouldCallHook. Its Dispatch skips resources that policies from disk
	// may intercept, and waits when it does not have to.
	hooks            *generic.Webhook
	namespaces       *namespace.Matcher
	namespacesSynced func() bool
	// authorizer answers for the authorizer variable of match conditions.
	authorizer authorizer.UnconditionalAuthorizer
}

func newMatcher(config Config) (*matcher, error) {
	hooks, err := generic.NewWebhook(admission.NewHandler(operations...), nil, nil,
		func(*webhookutil.ClientManager) generic.Dispatcher { return nil })
	if err != nil {
		return nil, fmt.Errorf("setting up the matching of requests: %w", err)
	}
	hooks.SetExternalKubeClientSet(config.Client)
	hooks.SetExternalKubeInformerFactory(config.Informers)
	namespaces := config.Informers.Core().V1().Namespaces()
	return &matcher{
		hooks: hooks,
		namespaces: &namespace.Matcher{
			NamespaceLister: namespaces.Lister(),
			Client:          config.Client,
		},
		namespacesSynced: namespaces.Informer().HasSynced,
		authorizer:       config.Authorizer,
	}, nil
}

// match returns the form in which a policy gets a request, or nil if the request does not match. An
// error means that it is unknown whether it matches. If a match condition fails, the error is a
// [conditionError], and the failure policy applies. With any other error, such as a failed lookup
// of the namespace, the request is rejected, as with webhooks.
func (m *matcher) match(ctx context.Context, r *request,
	h *hook) (*generic.WebhookInvocation, error) {
	if namespace := h.policy.Spec().Namespace; namespace != "" && !inNamespace(r.attr, namespace) {
		return nil, nil
	}
	if h.needsNamespaces && !m.waitForNamespaces(ctx) {
		return nil, admission.NewForbidden(r.attr,
			errors.New("not yet ready to handle request: namespaces are not known yet"))
	}
	call, status := m.hooks.ShouldCallHook(ctx, h.accessor, r.attributes(), r.interfaces, r)
	if status != nil {
		return nil, status
	}
	if call == nil {
		return nil, nil
	}
	matches, err := m.fulfilled(ctx, r, h.conditions, call)
	if err != nil || !matches {
		return nil, err
	}
	return call, nil
}

// inNamespace reports whether a request is for an object in a namespace. Kubewarden's controller
// uses a selector on the namespace's label kubernetes.io/metadata.name for that. The request itself
// is more exact. It does not need the namespace object, which may not be known yet, and a selector
// would let requests for cluster-scoped objects through. A Namespace is not in a namespace,
// although its requests carry its name.
func inNamespace(attr admission.Attributes, namespace string) bool {
	return attr.GetNamespace() == namespace &&
		attr.GetResource().GroupResource() != corev1.Resource("namespaces")
}

func (m *matcher) waitForNamespaces(ctx context.Context) bool {
	if m.namespacesSynced() {
		return true
	}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, namespacesTimeout, true,
		func(context.Context) (bool, error) {
			return m.namespacesSynced(), nil
		})
	return err == nil
}
