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

// Package kubewarden turns two Go functions into a Kubewarden policy: it
// serves the operations validate, validate_settings and protocol_version over
// waPC and does the JSON on either side of them.
package kubewarden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/wapc"
)

// Request is what a policy sees of an AdmissionRequest (admission.k8s.io/v1), but
// for the object; the fields that no policy here reads are left out. A policy puts
// it into a type of its own, beside the object as far as it wants to read that:
//
//	type request struct {
//		kubewarden.Request
//		Object *kubewarden.Object `json:"object"`
//	}
//
// The object is nil on DELETE; an oldObject, the stored one, on CREATE and CONNECT.
// One that is given back changed is best a *json.RawMessage: other types lose fields
// that they do not know, or digits of large numbers.
type Request struct {
	// UID identifies the request.
	UID string `json:"uid"`
	// Kind is the kind of the object, and of the stored one.
	Kind GroupVersionKind `json:"kind"`
	// Resource is the resource that is asked for, in the plural.
	Resource GroupVersionResource `json:"resource"`
	// SubResource is empty for the object itself, else for example "exec".
	SubResource string `json:"subResource"`
	// Name is empty on a CREATE that leaves the name to the server.
	Name string `json:"name"`
	// Namespace is empty for cluster-scoped objects.
	Namespace string `json:"namespace"`
	// Operation is CREATE, UPDATE, DELETE or CONNECT.
	Operation string `json:"operation"`
	// UserInfo says who asks.
	UserInfo UserInfo `json:"userInfo"`
	// DryRun is set when nothing will be stored.
	DryRun bool `json:"dryRun"`
}

// GroupVersionKind names a kind.
type GroupVersionKind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// GroupVersionResource names a resource.
type GroupVersionResource struct {
	Group    string `json:"group"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
}

// UserInfo is the authenticated user of a request.
type UserInfo struct {
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

// Object is as much of any Kubernetes object as policies read that work on all
// kinds.
type Object struct {
	Metadata Metadata `json:"metadata"`
}

// Metadata is the part of any Kubernetes object's metadata that policies here
// read.
type Metadata struct {
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	DeletionTimestamp *string           `json:"deletionTimestamp"`
}

// Response is a policy's verdict, Kubewarden's ValidationResponse.
type Response struct {
	// Accepted is the verdict.
	Accepted bool `json:"accepted"`
	// Message tells the user why a request was refused.
	Message string `json:"message,omitempty"`
	// Code is the HTTP status of a refusal; 0 leaves it to the host.
	Code uint16 `json:"code,omitempty"`
	// MutatedObject is the whole object as it should be, in JSON; nil leaves it as it is.
	MutatedObject json.RawMessage `json:"-"`
	// Warnings are shown to the user whatever the verdict.
	Warnings []string `json:"warnings,omitempty"`
	// AuditAnnotations go to the audit log; the host prefixes the keys.
	AuditAnnotations map[string]string `json:"audit_annotations,omitempty"`
}

// Accept returns the verdict that lets a request pass.
func Accept() Response { return Response{Accepted: true} }

// Reject returns a refusal with a message for the user.
func Reject(message string) Response { return Response{Message: message} }

// settingsResponse is Kubewarden's SettingsValidationResponse.
type settingsResponse struct {
	Valid   bool   `json:"valid"`
	Message string `json:"message,omitempty"`
}

// ErrNoObject is the failure of a policy that wants an object and gets none, which it
// should not take for an object without labels.
var ErrNoObject = errors.New("the request carries no object")

// Register serves a policy that reads requests of type R and has settings of type
// S. Call it from an init function. check finds fault with settings that were
// decoded; a field that S does not have is refused before. validate decides on a
// request; an error from it is a failure of the policy, not a verdict.
func Register[R, S any](check func(S) error, validate func(R, S) (Response, error)) {
	wapc.Register("protocol_version", func([]byte) ([]byte, error) {
		return []byte(`"v1"`), nil
	})
	wapc.Register("validate_settings", func(payload []byte) ([]byte, error) {
		settings, err := decodeSettings[S](payload)
		if err == nil {
			err = check(settings)
		}
		if err != nil {
			return json.Marshal(settingsResponse{Message: err.Error()})
		}
		return json.Marshal(settingsResponse{Valid: true})
	})
	wapc.Register("validate", func(payload []byte) ([]byte, error) {
		return serve(payload, validate)
	})
}

func serve[R, S any](payload []byte, validate func(R, S) (Response, error)) ([]byte, error) {
	request, settings, err := decodeReview[R, S](payload)
	if err != nil {
		return nil, err
	}
	response, err := validate(request, settings)
	if err != nil {
		return nil, err
	}
	return encode(response)
}

// encode puts the object in as it is, where json.Marshal would go through all of it once
// more.
func encode(response Response) ([]byte, error) {
	text, err := json.Marshal(response)
	if err != nil || response.MutatedObject == nil {
		return text, err
	}
	text = append(text[:len(text)-1], `,"mutated_object":`...)
	return append(append(text, response.MutatedObject...), '}'), nil
}

// decodeReview reads a review once, down to what the policy wants of the object.
func decodeReview[R, S any](payload []byte) (R, S, error) {
	var review struct {
		Request  R               `json:"request"`
		Settings json.RawMessage `json:"settings"`
	}
	if err := json.Unmarshal(payload, &review); err != nil {
		var none S
		return review.Request, none, fmt.Errorf("decode the review: %w", err)
	}
	settings, err := decodeSettings[S](review.Settings)
	return review.Request, settings, err
}

// decodeSettings is strict: a setting that is misspelt is not to be left out.
func decodeSettings[S any](raw []byte) (S, error) {
	var settings S
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		return settings, fmt.Errorf("decode settings: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return settings, errors.New("decode settings: more than one JSON value")
	}
	return settings, nil
}
