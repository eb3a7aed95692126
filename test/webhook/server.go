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

// Package webhook puts policies behind a webhook, as Kubewarden's policy-server does: what
// tests and benchmarks compare evaluation in process with.
package webhook

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Server is a TLS server on the loopback interface that evaluates admission reviews. Each
// policy is at a path of its name.
type Server struct {
	// CA is the certificate, in PEM, by which to know the server.
	CA       []byte
	server   *httptest.Server
	policies map[string]*policyset.Policy
}

// Serve starts a server for policies, which stay open until it is closed.
func Serve(policies ...*policyset.Policy) (*Server, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	s := &Server{CA: certificate, policies: map[string]*policyset.Policy{}}
	for _, policy := range policies {
		s.policies["/"+policy.Name()] = policy
	}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.server.EnableHTTP2 = true
	s.server.StartTLS()
	return s, nil
}

// URL returns the address of a policy.
func (s *Server) URL(policy string) string { return s.server.URL + "/" + policy }

// Close stops the server.
func (s *Server) Close() { s.server.Close() }

func (s *Server) serve(response http.ResponseWriter, request *http.Request) {
	if err := s.answer(response, request); err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
	}
}

func (s *Server) answer(response http.ResponseWriter, request *http.Request) error {
	policy := s.policies[request.URL.Path]
	if policy == nil {
		return fmt.Errorf("no policy is at %s", request.URL.Path)
	}
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
	var asked struct {
		UID    types.UID       `json:"uid"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(review.Request, &asked); err != nil {
		return err
	}
	verdict, _, err := policy.Evaluate(request.Context(), review.Request)
	if err != nil {
		return err
	}
	answer := &admissionv1.AdmissionResponse{UID: asked.UID, Allowed: verdict.Accepted, Result: &metav1.Status{Message: verdict.Message, Code: verdict.Code}}
	if verdict.MutatedObject != nil {
		if answer.Patch, err = patch(asked.Object, verdict.MutatedObject); err != nil {
			return err
		}
		answer.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	response.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(response).Encode(&admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Response: answer,
	})
}

// patch returns a JSON patch (RFC 6902) that makes one object of the other. Any such patch
// is as good; this one replaces fields of the top level.
func patch(before, after json.RawMessage) ([]byte, error) {
	var was, is map[string]json.RawMessage
	if err := json.Unmarshal(before, &was); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(after, &is); err != nil {
		return nil, err
	}
	operations := []map[string]any{}
	for name := range was {
		if _, stays := is[name]; !stays {
			operations = append(operations, map[string]any{"op": "remove", "path": "/" + name})
		}
	}
	for name, value := range is {
		operations = append(operations, map[string]any{"op": "add", "path": "/" + name, "value": value})
	}
	return json.Marshal(operations)
}
