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

package main

import (
	"context"
	"errors"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/test/webhook"
)

// hook is a policy behind a webhook, and Kubernetes' own plugin that calls it.
type hook struct {
	server *webhook.Server
	plugin *validating.Plugin
	stop   chan struct{}
}

func (h *hook) close() {
	close(h.stop)
	h.server.Close()
}

func newHook(ctx context.Context, policy *policyset.Policy) (*hook, error) {
	server, err := webhook.Serve(policy)
	if err != nil {
		return nil, err
	}
	plugin, stop, err := newPlugin(ctx, server.URL(policy.Name()), server.CA)
	if err != nil {
		server.Close()
		return nil, err
	}
	return &hook{server: server, plugin: plugin, stop: stop}, nil
}

func newPlugin(ctx context.Context, address string, certificate []byte) (*validating.Plugin, chan struct{}, error) {
	client := fake.NewClientset(&admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "bench.example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &address, CABundle: certificate},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			FailurePolicy:           new(admissionregistrationv1.Fail),
			MatchPolicy:             new(admissionregistrationv1.Equivalent),
			NamespaceSelector:       &metav1.LabelSelector{},
			ObjectSelector:          &metav1.LabelSelector{},
			TimeoutSeconds:          new(int32(10)),
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	})
	plugin, err := validating.NewValidatingAdmissionWebhook(nil)
	if err != nil {
		return nil, nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	plugin.SetExternalKubeClientSet(client)
	plugin.SetExternalKubeInformerFactory(factory)
	plugin.SetAuthenticationInfoResolverWrapper(func(webhookutil.AuthenticationInfoResolver) webhookutil.AuthenticationInfoResolver {
		return anonymous{}
	})
	if err := plugin.ValidateInitialization(); err != nil {
		return nil, nil, err
	}
	stop := make(chan struct{})
	factory.Start(stop)
	for _, synced := range factory.WaitForCacheSync(stop) {
		if !synced {
			return nil, nil, errors.New("informers did not sync")
		}
	}
	if !cache.WaitForCacheSync(ctx.Done(), func() bool { return plugin.WaitForReady() }) {
		return nil, nil, ctx.Err()
	}
	return plugin, stop, nil
}

// anonymous is how the apiserver calls a webhook that asks for no credentials.
type anonymous struct{}

func (anonymous) ClientConfigFor(string) (*rest.Config, error) { return &rest.Config{}, nil }
func (anonymous) ClientConfigForService(string, string, int) (*rest.Config, error) {
	return &rest.Config{}, nil
}
