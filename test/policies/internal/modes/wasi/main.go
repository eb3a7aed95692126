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

// Command wasi is the rule as a WASI command.
package main

import (
	"encoding/json"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/modes/rule"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/wasi"
)

func main() {
	wasi.Run(validate, func(string) (string, error) { return `{"valid":true}`, nil })
}

func validate(payload string) (string, error) {
	var review struct {
		Request struct {
			Object rule.Pod `json:"object"`
		} `json:"request"`
	}
	if err := json.Unmarshal([]byte(payload), &review); err != nil {
		return "", err
	}
	offender := review.Request.Object.Offender()
	if offender == "" {
		return `{"accepted":true}`, nil
	}
	answer, err := json.Marshal(map[string]any{
		"accepted": false,
		"message":  "container " + offender + " is privileged",
	})
	return string(answer), err
}
