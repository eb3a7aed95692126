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

package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/assembly/serving"
	"github.com/wasm-admission/wasm-admission/pkg/webhook"
)

// A webhook server of your own serves the policies of a configuration at /validate/POLICY and
// /mutate/POLICY. The cluster of this example is empty. A server has the clients of its cluster.
func ExampleHandler() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	directory, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(directory) }()
	module := filepath.Join(directory, "policy.wasm")
	wasm, err := os.ReadFile("../../test/policies/no-latest-tag/policy.wasm")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(module, wasm, 0o600); err != nil {
		panic(err)
	}

	// A server compiles in child processes: its main begins with engine.ServeCompilations.
	config := `
apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: WasmAdmissionConfiguration
compilation: {mode: InProcess}
policies:
- name: no-latest-tag
  module: file://` + module
	client := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(client, 0)
	dispatcher, err := serving.NewServer(serving.Options{}).Dispatcher(ctx, []byte(config),
		serving.Cluster{
			Client: client, Dynamic: dynamicfake.NewSimpleDynamicClient(scheme.Scheme),
			Informers:  factory,
			Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
			Excluded: []schema.GroupResource{{
				Group: "authorization.k8s.io", Resource: "subjectaccessreviews",
			}},
		})
	if err != nil {
		panic(err)
	}
	defer dispatcher.Close()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	// for an http.Server with TLS
	handler := webhook.NewHandler(webhook.Options{Dispatcher: dispatcher})

	request, err := os.ReadFile("../../test/policies/no-latest-tag/testdata/pod-create-latest.json")
	if err != nil {
		panic(err)
	}
	review := `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": ` +
		string(request) + `}`
	r := httptest.NewRequestWithContext(ctx, "POST", "/validate/no-latest-tag?timeout=10s",
		strings.NewReader(review))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		panic(err)
	}
	fmt.Println(answer.Response.Allowed)
	// The message is long, so it goes on two lines.
	fmt.Println(strings.Replace(answer.Response.Result.Message, ": ", ":\n", 1))
	// Output:
	// false
	// WasmAdmission policy "no-latest-tag" denied the request:
	// image 'ghcr.io/acme/web:latest' must have a tag other than 'latest', or a digest
}
