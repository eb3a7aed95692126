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
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/cert"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/v1alpha1"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// limits are those of a configuration that sets none.
func limits() wasmadmission.Limits {
	external := &v1alpha1.WasmAdmissionConfiguration{}
	v1alpha1.SetObjectDefaults_WasmAdmissionConfiguration(external)
	var internal wasmadmission.Limits
	if err := v1alpha1.Convert_v1alpha1_Limits_To_wasmadmission_Limits(&external.Limits, &internal, nil); err != nil {
		panic(err) // defaults convert
	}
	return internal
}

// webhook is a policy behind a TLS server on the loopback interface, and
// Kubernetes' own plugin that calls it.
type webhook struct {
	server *httptest.Server
	plugin *validating.Plugin
	stop   chan struct{}
}

func (w *webhook) close() {
	close(w.stop)
	w.server.Close()
}

func newWebhook(ctx context.Context, policy *policyset.Policy) (*webhook, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		if err := answer(policy, response, request); err != nil {
			log.Print(err)
			http.Error(response, err.Error(), http.StatusInternalServerError)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.EnableHTTP2 = true
	server.StartTLS()
	plugin, stop, err := newPlugin(ctx, server.URL, certificate)
	if err != nil {
		server.Close()
		return nil, err
	}
	return &webhook{server: server, plugin: plugin, stop: stop}, nil
}

// answer evaluates the review in an HTTP request as a policy server does.
func answer(policy *policyset.Policy, response http.ResponseWriter, request *http.Request) error {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err
	}
	var review struct {
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(body, &review); err != nil {
		return err
	}
	var identity struct {
		UID types.UID `json:"uid"`
	}
	if err := json.Unmarshal(review.Request, &identity); err != nil {
		return err
	}
	verdict, _, err := policy.Evaluate(request.Context(), review.Request)
	if err != nil {
		return err
	}
	response.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(response).Encode(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Response: &admissionv1.AdmissionResponse{UID: identity.UID, Allowed: verdict.Accepted, Result: &metav1.Status{Message: verdict.Message}},
	})
}

func newPlugin(ctx context.Context, address string, certificate []byte) (*validating.Plugin, chan struct{}, error) {
	if _, err := url.Parse(address); err != nil {
		return nil, nil, err
	}
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
