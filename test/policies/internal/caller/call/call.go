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

// Package call is what the guests here have in common: they make any host call for whoever
// asks, and refuse every request with what came of it.
package call

import "encoding/json"

// Call is a host call. A request has it in its object, a ConfigMap, as binary data, so
// that it may be any bytes.
type Call struct {
	Binding   []byte `json:"binding"`
	Namespace []byte `json:"namespace"`
	Operation []byte `json:"operation"`
	Payload   []byte `json:"payload"`
}

// Of returns the call that an object asks for.
func Of(object []byte) (Call, error) {
	var configMap struct {
		BinaryData Call `json:"binaryData"`
	}
	err := json.Unmarshal(object, &configMap)
	return configMap.BinaryData, err
}

// Outcome says what the host answered, or how it failed in its words.
func Outcome(answer string, err error) string {
	if err != nil {
		return "failed: " + err.Error()
	}
	return "answered: " + answer
}
