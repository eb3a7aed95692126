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

// Command wapc is the rule as a waPC guest.
package main

import (
	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/modes/rule"
)

func init() { policy.Register(validate) }

// main is never called in a reactor, but the linker needs it.
func main() {}

func validate(r *policy.Request, _ policy.NoSettings) (policy.Response, error) {
	pod, err := policy.Object[rule.Pod](r)
	if err != nil {
		return policy.Response{}, err
	}
	if offender := pod.Offender(); offender != "" {
		return policy.Reject("container " + offender + " is privileged"), nil
	}
	return policy.Accept(), nil
}
