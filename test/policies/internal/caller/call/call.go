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

// Package call is what the guests here have in common: they make any host calls for whoever
// asks, and refuse every request with what came of them.
package call

import "encoding/json"

// Call is a host call. Its parts may be any bytes, and are in base64 where it is asked for.
type Call struct {
	Binding   []byte `json:"binding"`
	Namespace []byte `json:"namespace"`
	Operation []byte `json:"operation"`
	Payload   []byte `json:"payload"`
}

// Outcomes makes the calls that the object of a request asks for, and returns what the host
// answered or how it failed, in its words: the one call that a ConfigMap has as its binary
// data, or those of a list, with a list in JSON.
func Outcomes(object []byte, call func(Call) (string, error)) (string, error) {
	var asked struct {
		BinaryData Call   `json:"binaryData"`
		Calls      []Call `json:"calls"`
	}
	if err := json.Unmarshal(object, &asked); err != nil {
		return "", err
	}
	if asked.Calls == nil {
		return outcome(call(asked.BinaryData)), nil
	}
	outcomes := []string{}
	for _, c := range asked.Calls {
		outcomes = append(outcomes, outcome(call(c)))
	}
	list, err := json.Marshal(outcomes)
	return string(list), err
}

func outcome(answer string, err error) string {
	if err != nil {
		return "failed: " + err.Error()
	}
	return "answered: " + answer
}
