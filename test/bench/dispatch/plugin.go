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

	"github.com/wasm-admission/wasm-admission/test/bench/webhook"
)

// newPlugin returns Kubernetes' own webhook plugin, which calls the first webhook of a server.
// Closing stop stops its informers.
func newPlugin(ctx context.Context,
	endpoint webhook.Endpoint) (plugin *validating.Plugin, stop chan struct{}, err error) {
	client := fake.NewClientset(&admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "bench"},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{
			endpoint.Webhook("bench", 0, &metav1.LabelSelector{}),
		},
	})
	plugin, err = validating.NewValidatingAdmissionWebhook(nil)
	if err != nil {
		return nil, nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	plugin.SetExternalKubeClientSet(client)
	plugin.SetExternalKubeInformerFactory(factory)
	plugin.SetAuthenticationInfoResolverWrapper(
		func(webhookutil.AuthenticationInfoResolver) webhookutil.AuthenticationInfoResolver {
			return anonymous{}
		})
	if err := plugin.ValidateInitialization(); err != nil {
		return nil, nil, err
	}
	stop = make(chan struct{})
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

// anonymous makes the apiserver call webhooks without credentials.
type anonymous struct{}

func (anonymous) ClientConfigFor(string) (*rest.Config, error) { return &rest.Config{}, nil }
func (anonymous) ClientConfigForService(string, string, int) (*rest.Config, error) {
	return &rest.Config{}, nil
}
