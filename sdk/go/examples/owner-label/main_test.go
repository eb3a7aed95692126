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

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/wasm-admission/wasm-admission/sdk/go/policy"
	"github.com/wasm-admission/wasm-admission/sdk/go/policytest"
)

func create(namespace, object string) policy.Request {
	return policy.Request{
		UID: "1", Name: "web", Namespace: namespace, Operation: policy.Create,
		Object:   json.RawMessage(object),
		Kind:     policy.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource: policy.GroupVersionResource{Version: "v1", Resource: "pods"},
	}
}

func TestPolicy(t *testing.T) {
	p := &policytest.Policy{Host: policytest.Host{Objects: []any{
		json.RawMessage(
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"owner":"ann"}}}`),
		json.RawMessage(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"attic"}}`),
	}}}
	settings := Settings{Label: "owner"}

	const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"priority":9007199254740993}}`
	response, err := p.Validate(create("shop", pod), settings)
	if err != nil || !response.Accepted || len(response.Warnings) != 1 {
		t.Errorf("got %+v, %v", response, err)
	}
	want := `{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"owner":"ann"},"name":"web"},"spec":{"priority":9007199254740993}}`
	if string(response.MutatedObject) != want {
		t.Errorf("the object has become %s", response.MutatedObject)
	}

	response, err = p.Validate(create("attic", pod), settings)
	if err != nil || response.Accepted || response.Code != 403 ||
		response.Message != "neither web nor its namespace has the label owner" {
		t.Errorf("got %+v, %v", response, err)
	}

	response, err =
		p.Validate(create("shop",
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"owner":"bob"}}}`),
			settings)
	if err != nil || !response.Accepted || response.MutatedObject != nil {
		t.Errorf("got %+v, %v", response, err)
	}

	if _, err = p.Validate(create("gone", pod), settings); err == nil ||
		!strings.Contains(err.Error(), "'gone'") {
		t.Errorf("the error is %v", err)
	}
	for settings, want := range map[string]string{
		`{"label":"owner"}`: "<nil>",
		`{}`:                "label: the name of a label is required",
		`{"label":1}`:       "label: a string is expected, not a number",
		`{"labels":"a"}`:    `unknown field "labels"`,
	} {
		err := p.ValidateSettings([]byte(settings))
		if err == nil && want != "<nil>" || err != nil && err.Error() != want {
			t.Errorf("%s: got %v, want %s", settings, err, want)
		}
	}
	t.Run("wasm", p.CheckWasm)
}
