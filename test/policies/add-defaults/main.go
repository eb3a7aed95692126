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

// Command add-defaults is a Kubewarden policy that mutates objects. It adds
// missing labels and annotations, adds a sidecar container to Pods and to
// workloads' Pod templates, removes fields, and lowers numbers to a maximum.
// It works on JSON, and so on objects of any kind, and keeps unknown fields.
package main

import "github.com/wasm-admission/wasm-admission/sdk/go/policy"

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

func validate(r *policy.Request, s settings) (policy.Response, error) {
	if r.Operation != policy.Create && r.Operation != policy.Update {
		return policy.Accept(), nil
	}
	object, err := policy.Object[map[string]any](r)
	if err != nil {
		return policy.Response{}, err
	}
	// Do not change an object that is being deleted.
	if metadata, _ := object["metadata"].(map[string]any); metadata["deletionTimestamp"] != nil {
		return policy.Accept(), nil
	}
	changed, err := change(object, s)
	if err != nil {
		return policy.Response{}, err
	}
	if !changed {
		return policy.Accept(), nil
	}
	return policy.Mutate(object), nil
}
