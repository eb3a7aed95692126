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

// Command wapc is the policy that does what its settings say, as a guest of waPC.
package main

import (
	"github.com/wasm-admission/wasm-admission/test/policies/internal/checklist/script"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/wapc"
)

func init() {
	wapc.Register("protocol_version", func([]byte) ([]byte, error) { return []byte(`"v1"`), nil })
	wapc.Register("validate_settings", func(payload []byte) ([]byte, error) {
		answer, err := script.ValidateSettings(string(payload))
		return []byte(answer), err
	})
	wapc.Register("validate", func(payload []byte) ([]byte, error) {
		answer, err := script.Validate(string(payload), hostCall)
		return []byte(answer), err
	})
}

func hostCall(binding, namespace, operation, payload string) (string, error) {
	answer, err := wapc.HostCall(binding, namespace, operation, []byte(payload))
	return string(answer), err
}

// main is never called: the module is a reactor.
func main() {}
