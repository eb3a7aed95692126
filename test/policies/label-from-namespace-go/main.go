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

// request is what the policy reads of a request. The object stays as it is written.
type request struct {
	Operation string           `json:"operation"`
	Namespace string           `json:"namespace"`
	Object    *json.RawMessage `json:"object"`
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

func validate(r request, s settings) (kubewarden.Response, error) {
	if err := check(s); err != nil {
		return kubewarden.Response{}, err
	}
	if r.Namespace == "" || r.Operation != "CREATE" && r.Operation != "UPDATE" {
		return kubewarden.Accept(), nil
	}
	labels, err := lookUp(r.Namespace)
	if err != nil {
		return refuse(500, fmt.Sprintf("looking up namespace %s: %v", r.Namespace, err)), nil
	}
	value, found := labels[s.Label]
	if !found {
		return refuse(403, fmt.Sprintf("namespace %s has no label %s", r.Namespace, s.Label)), nil
	}
	if r.Object == nil {
		return kubewarden.Response{}, kubewarden.ErrNoObject
	}
	return addLabel(string(*r.Object), s.Label, value, r.Namespace)
}

// addLabel gives an object a label of its namespace, unless it has one of that name.
func addLabel(object, label, value, namespace string) (kubewarden.Response, error) {
	response := kubewarden.Accept()
	if _, _, labelled := rawjson.Find(object, "metadata", "labels", label); labelled {
		return response, nil
	}
	mutated := rawjson.Add(object, label, rawjson.Quote(value), "metadata", "labels")
	if mutated == object {
		return kubewarden.Response{}, errors.New("the object has no metadata that takes a label")
	}
	trace("label " + label + " is taken from namespace " + namespace)
	response.MutatedObject = json.RawMessage(mutated)
	return response, nil
}

func refuse(code uint16, message string) kubewarden.Response {
	response := kubewarden.Reject(message)
	response.Code = code
	return response
}

// lookUp returns the labels of a namespace.
func lookUp(name string) (map[string]string, error) {
	answer, err := wapc.HostCall("kubewarden", "kubernetes", "get_resource",
		[]byte(`{"api_version":"v1","kind":"Namespace","name":`+rawjson.Quote(name)+`,"namespace":null,"disable_cache":false}`))
	var refused wapc.HostError
	if errors.As(err, &refused) {
		return nil, errors.New(string(refused))
	}
	var namespace kubewarden.Object
	if err == nil {
		err = json.Unmarshal(answer, &namespace)
	}
	return namespace.Metadata.Labels, err
}

// trace logs what is done. A log that fails is no reason to refuse anything.
func trace(message string) {
	_, _ = wapc.HostCall("kubewarden", "tracing", "log", []byte(`{"level":"info","message":`+rawjson.Quote(message)+"}"))
}
