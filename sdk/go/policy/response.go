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

package policy

import (
	"encoding/json"
	"fmt"
)

// Response is the answer of a policy. Create one with [Accept], [Reject] or [Mutate]. The zero
// value is a rejection.
type Response struct {
	// Accepted is set if the request may pass.
	Accepted bool `json:"accepted"`
	// Message tells the user why the request was rejected.
	Message string `json:"message,omitempty"`
	// Code is the HTTP status of a rejection. 0 leaves it to the host.
	Code uint16 `json:"code,omitempty"`
	// Warnings are shown to the user, whatever the verdict.
	Warnings []string `json:"warnings,omitempty"`
	// AuditAnnotations go to the audit log. The host prefixes the keys.
	AuditAnnotations map[string]string `json:"audit_annotations,omitempty"`
	// MutatedObject is the whole changed object in JSON. nil leaves the object unchanged.
	MutatedObject json.RawMessage `json:"-"`

	// mutated is the argument of Mutate.
	mutated any
	// raw replaces all other fields.
	raw json.RawMessage
}

// Accept lets a request pass unchanged.
func Accept() Response { return Response{Accepted: true} }

// Reject denies a request and tells the user why.
func Reject(message string) Response { return Response{Message: message} }

// Rejectf is like Reject, with a format of package fmt.
func Rejectf(format string, arguments ...any) Response {
	return Reject(fmt.Sprintf(format, arguments...))
}

// Mutate lets a request pass with a changed object. object is the whole object, which the host
// compares with the original. It may be anything that encoding/json encodes, or a json.RawMessage.
// For a raw request, it is the whole request.
//
// An object that was decoded into a type without some of its fields loses them. To change objects
// of any kind, decode into map[string]any and use [SetNestedField].
func Mutate(object any) Response { return Response{Accepted: true, mutated: object} }

// RawResponse returns an answer in the format of the protocol, a ValidationResponse in JSON. It is
// for features that this package does not have. It is sent unchanged.
func RawResponse(answer json.RawMessage) Response { return Response{raw: answer} }

// WithCode returns the response with the HTTP status of a rejection, such as 403. Package net/http
// has constants for it, but adds 2 MB to the module.
func (r Response) WithCode(code uint16) Response {
	r.Code = code
	return r
}

// WithWarnings returns the response with additional warnings to the user.
func (r Response) WithWarnings(warnings ...string) Response {
	r.Warnings = append(r.Warnings[:len(r.Warnings):len(r.Warnings)], warnings...)
	return r
}

// WithAuditAnnotation returns the response with an annotation for the audit log. It replaces an
// earlier one with the same key.
func (r Response) WithAuditAnnotation(key, value string) Response {
	annotations := map[string]string{key: value}
	for k, v := range r.AuditAnnotations {
		if k != key {
			annotations[k] = v
		}
	}
	r.AuditAnnotations = annotations
	return r
}

// encode returns the response in JSON. It appends the object to the rest, because encoding/json
// would read all of it again to compact it.
func (r Response) encode() ([]byte, error) {
	if r.raw != nil {
		return r.raw, nil
	}
	object := r.MutatedObject
	if raw, isRaw := r.mutated.(json.RawMessage); isRaw {
		object = raw
	} else if r.mutated != nil {
		var err error
		if object, err = json.Marshal(r.mutated); err != nil {
			return nil, fmt.Errorf("encode the mutated object: %w", err)
		}
	}
	text, err := json.Marshal(r)
	if err != nil || object == nil {
		return text, err
	}
	text = append(text[:len(text)-1], `,"mutated_object":`...)
	return append(append(text, object...), '}'), nil
}
