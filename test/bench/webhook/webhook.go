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

// Package webhook serves policies with the handler of wasm-admission-webhook, for comparison with
// evaluation in process. The server runs inside the benchmark's process, because the real program
// needs a cluster and some benchmarks have none.
package webhook

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/webhook"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// Endpoint describes how to reach a server's webhooks.
type Endpoint struct {
	// URLs are the webhooks' URLs.
	URLs []string `json:"urls"`
	// CABundle contains the certificates, in PEM, that verify the server's certificate.
	CABundle []byte `json:"caBundle"`
}

// Webhook returns the n-th webhook of the server. It matches the creation of Pods in the selected
// namespaces, and its name has the prefix.
func (e Endpoint) Webhook(prefix string, n int,
	namespaces *metav1.LabelSelector) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name: fmt.Sprintf("%s-%d.example.com", prefix, n),
		ClientConfig: admissionregistrationv1.WebhookClientConfig{
			URL:      &e.URLs[n],
			CABundle: e.CABundle,
		},
		AdmissionReviewVersions: []string{"v1"},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		FailurePolicy:           new(admissionregistrationv1.Fail),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       namespaces,
		ObjectSelector:          &metav1.LabelSelector{},
		TimeoutSeconds:          new(int32(10)),
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{""},
				APIVersions: []string{"v1"},
				Resources:   []string{"pods"},
			},
		}},
	}
}

// Server serves policies.
type Server struct {
	Endpoint
	server *httptest.Server
	close  func()
}

// Serve starts a server with a webhook for each policy in a set. The caller must close the server
// before the set.
func Serve(set *policyset.Set) (*Server, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost",
		[]net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	dispatcher, err := sample.NewDispatcher()
	if err != nil {
		return nil, err
	}
	dispatcher.Use(set)
	s := &Server{Endpoint: Endpoint{CABundle: certificate}, close: dispatcher.Close}
	s.server =
		httptest.NewUnstartedServer(webhook.NewHandler(webhook.Options{Dispatcher: dispatcher}))
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	s.server.EnableHTTP2 = true
	s.server.StartTLS()
	for _, policy := range set.Policies() {
		s.URLs = append(s.URLs, s.server.URL+"/"+webhook.Validating+"/"+policy.Name())
	}
	return s, nil
}

// Close stops the server.
func (s *Server) Close() {
	s.server.Close()
	s.close()
}
