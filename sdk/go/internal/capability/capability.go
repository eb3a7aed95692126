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

// Package capability calls host capabilities with JSON in both directions.
package capability

import (
	"encoding/json"
	"fmt"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/guest"
	"github.com/wasm-admission/wasm-admission/sdk/go/internal/jsontext"
)

// Call calls a capability and decodes its answer into A. A failure that the host reports is a
// [guest.HostError] with the host's message.
func Call[A any](namespace, operation string, request any) (answer A, err error) {
	text, err := CallRaw(namespace, operation, request)
	if err != nil {
		return answer, err
	}
	if err := jsontext.Decode(text, &answer); err != nil {
		return answer, fmt.Errorf("%s/%s: decode the answer: %w", namespace, operation, err)
	}
	return answer, nil
}

// CallRaw is like Call, but does not decode the answer.
func CallRaw(namespace, operation string, request any) ([]byte, error) {
	payload, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: encode the request: %w", namespace, operation, err)
	}
	return guest.HostCall("kubewarden", namespace, operation, payload)
}

// Bytes are bytes in the JSON format of hosts: a list of numbers.
type Bytes []byte

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	numbers := make([]uint16, len(b))
	for n := range b {
		numbers[n] = uint16(b[n])
	}
	return json.Marshal(numbers)
}
