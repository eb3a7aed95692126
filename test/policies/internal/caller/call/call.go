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

// Package call is shared by the guests here. They make any host calls that a
// request asks for, and deny every request with the outcomes of the calls.
package call

import "encoding/json"

// Call is a host call. Its parts may be any bytes, and are encoded in base64 in a request.
type Call struct {
	Binding   []byte `json:"binding"`
	Namespace []byte `json:"namespace"`
	Operation []byte `json:"operation"`
	Payload   []byte `json:"payload"`
}

// Outcomes makes the calls that a request's object asks for, and returns
// the host's answers or errors. A ConfigMap contains one call in its binary
// data. A list contains several calls, and the result is a JSON list.
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
