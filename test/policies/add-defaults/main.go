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

// Command add-defaults is a Kubewarden policy that changes objects: it adds labels and
// annotations that are missing and a container beside those of Pods and of workloads'
// pod templates, removes fields, and brings numbers down to a maximum. It works on JSON
// and so on any kind, and keeps what it does not know.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/kubewarden"
)

// request is what the policy reads of a request.
type request struct {
	Operation string           `json:"operation"`
	Object    *json.RawMessage `json:"object"`
}

func init() {
	kubewarden.Register(checkSettings, validate)
}

// main is never called in a reactor, but the linker wants it.
func main() {}

func validate(r request, s settings) (kubewarden.Response, error) {
	if r.Operation != "CREATE" && r.Operation != "UPDATE" {
		return kubewarden.Accept(), nil
	}
	if r.Object == nil {
		return kubewarden.Response{}, kubewarden.ErrNoObject
	}
	object, err := decode(*r.Object)
	if err != nil {
		return kubewarden.Response{}, err
	}
	// An object on its way out is left alone.
	if metadata, _ := object["metadata"].(map[string]any); metadata["deletionTimestamp"] != nil {
		return kubewarden.Accept(), nil
	}
	changed, err := change(object, s)
	if err != nil {
		return kubewarden.Response{}, err
	}
	response := kubewarden.Accept()
	if changed {
		response.MutatedObject, err = json.Marshal(object)
	}
	return response, err
}

// decode keeps numbers as they are written: a float64 has no room for large integers.
func decode(raw json.RawMessage) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("decode the object: %w", err)
	}
	return object, nil
}
