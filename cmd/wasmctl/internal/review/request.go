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

// Package review handles admission reviews outside an apiserver as Kubewarden's hosts do: it parses
// requests from files, and builds responses from policies' answers.
package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	evanphx "gopkg.in/evanphx/json-patch.v4"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/explain"
	"github.com/wasm-admission/wasm-admission/internal/jsonpatch"
)

// Request is a request to a policy. It is immutable.
type Request struct {
	// UID identifies the request in its response. It is "" if the request has none.
	UID string
	// Raw reports whether the request is arbitrary JSON instead of an AdmissionRequest.
	Raw bool
	// Made reports whether [ParseFile] built the request from an object.
	Made bool
	// JSON is the request in the form that policies receive.
	JSON []byte
	// object is the value that a policy may change, or nil if there is none. before is its text.
	object any
	before []byte
}

// admissionRequest is an AdmissionRequest of admission.k8s.io/v1 in the form that Kubewarden passes
// on: it drops unknown fields, and omits absent fields instead of writing null.
type admissionRequest struct {
	UID                *string                      `json:"uid"`
	Kind               *metav1.GroupVersionKind     `json:"kind"`
	Resource           *metav1.GroupVersionResource `json:"resource"`
	SubResource        string                       `json:"subResource,omitempty"`
	RequestKind        *metav1.GroupVersionKind     `json:"requestKind,omitempty"`
	RequestResource    *metav1.GroupVersionResource `json:"requestResource,omitempty"`
	RequestSubResource string                       `json:"requestSubResource,omitempty"`
	Name               string                       `json:"name,omitempty"`
	Namespace          string                       `json:"namespace,omitempty"`
	Operation          string                       `json:"operation"`
	UserInfo           *authenticationv1.UserInfo   `json:"userInfo"`
	Object             json.RawMessage              `json:"object,omitempty"`
	OldObject          json.RawMessage              `json:"oldObject,omitempty"`
	DryRun             *bool                        `json:"dryRun,omitempty"`
	Options            json.RawMessage              `json:"options,omitempty"`
}

// ParseRequest parses an AdmissionReview or an AdmissionRequest of admission.k8s.io/v1 in JSON.
func ParseRequest(data []byte) (*Request, error) {
	content, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	var wire admissionRequest
	if err := kjson.UnmarshalCaseSensitivePreserveInts(content, &wire); err != nil {
		return nil, fmt.Errorf("the request is not an AdmissionRequest: %w", explain.Value(err))
	}
	if err := wire.check(); err != nil {
		return nil, err
	}
	for _, field := range []*json.RawMessage{&wire.Object, &wire.OldObject, &wire.Options} {
		if string(*field) == "null" {
			*field = nil
		}
	}
	r := &Request{UID: *wire.UID, before: wire.Object}
	if r.object, err = jsonpatch.Decode(wire.Object); err != nil {
		return nil, fmt.Errorf("object: %w", err)
	}
	if r.JSON, err = json.Marshal(wire); err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	return r, nil
}

// ParseRawRequest parses the request for a raw policy: any JSON object, which the policy receives
// unchanged.
func ParseRawRequest(data []byte) (*Request, error) {
	value, err := jsonpatch.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("the request is not valid JSON: %w", err)
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("the request is not an object: write fields with values")
	}
	uid, _ := fields["uid"].(string)
	return &Request{UID: uid, Raw: true, JSON: data, object: value, before: data}, nil
}

// unwrap returns the request in an AdmissionReview, and anything else unchanged. The kind of a
// review is a string, and that of a request is an object.
func unwrap(data []byte) ([]byte, error) {
	fields, err := fieldsOf(data)
	if err != nil {
		return nil, err
	}
	kind := fields["kind"]
	isReview := fields["request"] != nil && string(fields["request"]) != "null" &&
		fields["uid"] == nil && (kind == nil || kind[0] == '"')
	switch {
	case isReview:
		return fields["request"], nil
	case string(kind) == `"AdmissionReview"`:
		return nil, errors.New("the request is an AdmissionReview without a request: write request")
	}
	return data, nil
}

func (r *admissionRequest) check() error {
	var missing []string
	for _, field := range []struct {
		name  string
		there bool
	}{
		{"uid", r.UID != nil}, {"kind", r.Kind != nil}, {"resource", r.Resource != nil},
		{"operation", r.Operation != ""}, {"userInfo", r.UserInfo != nil},
	} {
		if !field.there {
			missing = append(missing, "`"+field.name+"`")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the request is not an AdmissionRequest: missing field %s",
			strings.Join(missing, ", "))
	}
	return nil
}

// Object returns the value that a policy may change, in the form of [jsonpatch.Decode]: the object,
// or the whole of a raw request. It is nil if there is none. Callers must not modify it.
func (r *Request) Object() any { return r.object }

// Patched applies a response's patch to the object.
func (r *Request) Patched(response *Response) (any, error) {
	if response.Patch == nil {
		return r.object, nil
	}
	patch, err := evanphx.DecodePatch(response.Patch)
	if err != nil {
		return nil, fmt.Errorf("the patch is not a JSON patch: %w", err)
	}
	before, err := json.Marshal(r.object)
	if err != nil {
		return nil, err
	}
	after, err := patch.Apply(before)
	if err != nil {
		return nil, fmt.Errorf("the patch does not fit the object: %w", err)
	}
	return jsonpatch.Decode(after)
}
