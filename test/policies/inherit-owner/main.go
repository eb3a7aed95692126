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

// Command inherit-owner is a Kubewarden policy in execution mode
// wasi. An object without an owner label inherits the label of its
// namespace. It is denied if the namespace has no such label either.
package main

import (
	"errors"
	"os"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/rawjson"
	"github.com/wasm-admission/wasm-admission/test/policies/internal/wasi"
)

func main() { wasi.Run(validate, validateSettings) }

// labelOf returns the only setting, the name of the label.
func labelOf(settings string) (string, error) {
	label, ok := rawjson.String(settings, "label")
	if !ok || label == "" {
		return "", errors.New("label: the name of a label is required")
	}
	return label, nil
}

func validateSettings(settings string) (string, error) {
	if _, err := labelOf(settings); err != nil {
		return `{"valid":false,"message":` + rawjson.Quote(err.Error()) + "}", nil
	}
	return `{"valid":true}`, nil
}

const accepted = `{"accepted":true}`

func validate(payload string) (string, error) {
	label, err := labelOf(rawjson.Get(payload, "settings"))
	if err != nil {
		return "", err
	}
	request := rawjson.Get(payload, "request")
	namespace, namespaced := rawjson.String(request, "namespace")
	operation, _ := rawjson.String(request, "operation")
	if !namespaced || namespace == "" || operation != "CREATE" && operation != "UPDATE" {
		return accepted, nil
	}
	object := rawjson.Get(request, "object")
	if object == "" {
		return "", errors.New("the request carries no object")
	}
	if _, owned := rawjson.String(object, "metadata", "labels", label); owned {
		return accepted, nil
	}
	owner, err := ownerOf(namespace, label)
	if err != nil {
		return "", err
	}
	if owner == "" {
		return `{"accepted":false,"code":403,"message":` +
			rawjson.Quote("neither the object nor namespace "+namespace+" has label "+label) +
			"}", nil
	}
	mutated := rawjson.Add(object, label, rawjson.Quote(owner), "metadata", "labels")
	if mutated == object {
		return "", errors.New("the object has no metadata that takes a label")
	}
	report(namespace, label, owner)
	return `{"accepted":true,"mutated_object":` + mutated + "}", nil
}

// ownerOf returns the namespace's label, or "" if there is none.
func ownerOf(namespace, label string) (string, error) {
	object, err := wasi.HostCall("kubewarden", "kubernetes", "get_resource",
		`{"api_version":"v1","kind":"Namespace","name":`+rawjson.Quote(namespace)+
			`,"namespace":null,"disable_cache":false}`)
	if err != nil {
		return "", errors.New("looking up namespace " + namespace + ": " + err.Error())
	}
	owner, _ := rawjson.String(object, "metadata", "labels", label)
	return owner, nil
}

// report reports a change in tracing/log and on standard
// error. A failed log is not a reason to deny a request.
func report(namespace, label, owner string) {
	text := "label " + label + " is inherited from namespace " + namespace + ": " + owner
	if _, err := wasi.HostCall("kubewarden", "tracing", "log",
		`{"level":"info","message":`+rawjson.Quote(text)+"}"); err != nil {
		text = "tracing: " + err.Error()
	}
	_, _ = os.Stderr.WriteString(text + "\n")
}
