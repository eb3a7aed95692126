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

// Package webhook serves policies as an admission webhook does, for comparison
// with their evaluation in process.
package webhook

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Endpoint says how to reach the webhooks of a server.
type Endpoint struct {
	// URL is that of the server.
	URL string `json:"url"`
	// CABundle verifies its certificate, in PEM.
	CABundle []byte `json:"caBundle"`
}

// Webhook returns the n-th webhook of the server, asked about the creation of
// Pods in the namespaces that the selector selects.
func (e Endpoint) Webhook(n int, namespaces *metav1.LabelSelector) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name:                    fmt.Sprintf("bench-%d.example.com", n),
		ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: new(fmt.Sprintf("%s/%d", e.URL, n)), CABundle: e.CABundle},
		AdmissionReviewVersions: []string{"v1"},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		FailurePolicy:           new(admissionregistrationv1.Fail),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       namespaces,
		ObjectSelector:          &metav1.LabelSelector{},
		TimeoutSeconds:          new(int32(10)),
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}},
	}
}

// Server is a TLS server on the loopback interface.
type Server struct {
	Endpoint
	http *httptest.Server
}

// Serve starts a server that has a webhook for each policy. The caller closes it,
// before the policies.
func Serve(policies []*policyset.Policy) (*Server, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for n, policy := range policies {
		mux.HandleFunc(fmt.Sprintf("/%d", n), func(response http.ResponseWriter, request *http.Request) {
			if err := answer(policy, response, request); err != nil {
				log.Print(err)
				http.Error(response, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.EnableHTTP2 = true
	server.StartTLS()
	return &Server{Endpoint: Endpoint{URL: server.URL, CABundle: certificate}, http: server}, nil
}

// Close ends the server once the requests in flight are answered.
func (s *Server) Close() { s.http.Close() }

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
	verdict, err := policy.Evaluate(request.Context(), review.Request)
	if err != nil {
		return err
	}
	response.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(response).Encode(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Response: &admissionv1.AdmissionResponse{UID: identity.UID, Allowed: verdict.Accepted, Result: &metav1.Status{Message: verdict.Message}},
	})
}
