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

// Command wasi is the policy that does what its settings say, as a WASI command.
package main

import (
	"encoding/json"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/checklist/script"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/wasi"
)

func main() { wasi.Run(validate, validateSettings) }

func validate(payload string) (string, error) {
	var review struct {
		Request  json.RawMessage `json:"request"`
		Settings script.Settings `json:"settings"`
	}
	if err := json.Unmarshal([]byte(payload), &review); err != nil {
		return "", err
	}
	response, err := review.Settings.Evaluate(review.Request, wasi.HostCall)
	switch {
	case err != nil:
		return "", err
	case response.Answer != nil:
		return string(response.Answer), nil
	}
	return encode(response)
}

func validateSettings(payload string) (string, error) {
	var s script.Settings
	err := json.Unmarshal([]byte(payload), &s)
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return encode(map[string]any{"valid": false, "message": err.Error()})
	}
	return `{"valid":true}`, nil
}

func encode(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
