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

// Command label-from-namespace-go is a Kubewarden policy that gives objects a label of
// their namespace. It looks the namespace up in the cluster, refuses objects of one
// without the label or that cannot be looked up, and logs what it did.
package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/kubewarden"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/rawjson"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/wapc"
)

// settings are those of the policy.
type settings struct {
	// Label is the name of the label.
	Label string `json:"label"`
}

func init() { kubewarden.Register(check, validate) }

// main is never called in a reactor, but the linker wants it.
func main() {}

func check(s settings) error {
	if s.Label == "" {
		return errors.New("label: the name of a label is required")
	}
	return nil
}

func validate(request kubewarden.Request, s settings) (kubewarden.Response, error) {
	if err := check(s); err != nil {
		return kubewarden.Response{}, err
	}
	if request.Namespace == "" || request.Operation != "CREATE" && request.Operation != "UPDATE" {
		return kubewarden.Accept(), nil
	}
	namespace, err := lookUp(request.Namespace)
	if err != nil {
		return refuse(500, fmt.Sprintf("looking up namespace %s: %v", request.Namespace, err)), nil
	}
	value, found := namespace.Labels[s.Label]
	if !found {
		return refuse(403, fmt.Sprintf("namespace %s has no label %s", request.Namespace, s.Label)), nil
	}
	object, err := kubewarden.DecodeMetadata(request.Object)
	if err != nil {
		return kubewarden.Response{}, err
	}
	if _, labelled := object.Labels[s.Label]; labelled {
		return kubewarden.Accept(), nil
	}
	trace("label " + s.Label + " is taken from namespace " + request.Namespace)
	response := kubewarden.Accept()
	response.MutatedObject = json.RawMessage(withLabel(string(request.Object), s.Label, value))
	return response, nil
}

func refuse(code uint16, message string) kubewarden.Response {
	response := kubewarden.Reject(message)
	response.Code = code
	return response
}

// lookUp returns the metadata of a namespace.
func lookUp(name string) (kubewarden.Metadata, error) {
	object, err := wapc.HostCall("kubewarden", "kubernetes", "get_resource",
		[]byte(`{"api_version":"v1","kind":"Namespace","name":`+rawjson.Quote(name)+`,"namespace":null,"disable_cache":false}`))
	var refused wapc.HostError
	switch {
	case errors.As(err, &refused):
		return kubewarden.Metadata{}, errors.New(string(refused))
	case err != nil:
		return kubewarden.Metadata{}, err
	}
	return kubewarden.DecodeMetadata(object)
}

// trace logs what is done. A log that fails is no reason to refuse anything.
func trace(message string) {
	_, _ = wapc.HostCall("kubewarden", "tracing", "log", []byte(`{"level":"info","message":`+rawjson.Quote(message)+"}"))
}

// withLabel returns an object with one more label. All else stays as it is written.
func withLabel(object, label, value string) string {
	value = rawjson.Quote(value)
	if labels := rawjson.Get(object, "metadata", "labels"); labels != "" && labels[0] == '{' {
		return rawjson.Add(object, label, value, "metadata", "labels")
	}
	if start, end, found := rawjson.Find(object, "metadata", "labels"); found { // null
		return object[:start] + "{" + rawjson.Quote(label) + ":" + value + "}" + object[end:]
	}
	return rawjson.Add(object, "labels", "{"+rawjson.Quote(label)+":"+value+"}", "metadata")
}
