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

package policyset_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/validation"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// A program with its own requests can evaluate a set of policies directly, without an API server.
// It may be a CI job, a GitOps controller, or another kind of server.
func Example() {
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

	config, err := load.LoadFromData([]byte(`
apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: WasmAdmissionConfiguration
policies:
- name: no-latest-tag
  module: file://` + module))
	if err != nil {
		panic(err)
	}
	if errs := validation.ValidateConfiguration(config); len(errs) > 0 {
		panic(errs.ToAggregate())
	}
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	if err != nil {
		panic(err)
	}
	defer func() { _ = e.Close() }()
	set, errs := (&policyset.Loader{Engine: e}).Load(context.Background(), config)
	if len(errs) > 0 {
		panic(errs.ToAggregate())
	}
	defer set.Close()

	request, err := os.ReadFile("../../test/policies/no-latest-tag/testdata/pod-create-latest.json")
	if err != nil {
		panic(err)
	}
	for _, policy := range set.Policies() {
		response, _, err := policy.Evaluate(context.Background(), request)
		if err != nil {
			panic(err) // no verdict: the failure policy decides
		}
		fmt.Println(policy.Name(), response.Accepted)
	}
	// Output: no-latest-tag false
}
