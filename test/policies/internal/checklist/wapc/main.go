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

// Command wapc is the policy that does what its settings say, built with the Go SDK.
// So policies with the SDK can do everything that the checklist tests with this guest.
package main

import (
	"encoding/json"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/checklist/script"
)

// Register for raw requests, because some requests in the checklist are not from Kubernetes.
func init() { policy.RegisterRaw(validate) }

// main is never called, because the module is a reactor.
func main() {}

func validate(request json.RawMessage, s script.Settings) (policy.Response, error) {
	response, err := s.Evaluate(request, hostCall)
	switch {
	case err != nil:
		return policy.Response{}, err
	case response.Answer != nil:
		return policy.RawResponse(response.Answer), nil
	case response.MutatedObject != nil:
		return policy.Mutate(response.MutatedObject), nil
	case response.Accepted:
		return policy.Accept(), nil
	}
	return policy.Reject(response.Message), nil
}

func hostCall(binding, namespace, operation, payload string) (string, error) {
	answer, err := policy.HostCall(binding, namespace, operation, []byte(payload))
	return string(answer), err
}
