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

// Response is what a policy makes of a request: see [Accept], [Reject] and [Mutate]. The zero
// value is a rejection.
type Response struct {
	// Accepted is the verdict.
	Accepted bool `json:"accepted"`
	// Message tells the user why a request was rejected.
	Message string `json:"message,omitempty"`
	// Code is the HTTP status of a rejection; 0 leaves it to the host.
	Code uint16 `json:"code,omitempty"`
	// Warnings are shown to the user whatever the verdict.
	Warnings []string `json:"warnings,omitempty"`
	// AuditAnnotations go to the audit log. The host prefixes the keys.
	AuditAnnotations map[string]string `json:"audit_annotations,omitempty"`
	// MutatedObject is the whole object as it is to be, in JSON; nil leaves it as it is.
	MutatedObject json.RawMessage `json:"-"`

	// mutated is what Mutate was given.
	mutated any
	// raw stands for all of the above.
	raw json.RawMessage
}

// Accept lets a request pass as it is.
func Accept() Response { return Response{Accepted: true} }

// Reject denies a request, and tells the user why.
func Reject(message string) Response { return Response{Message: message} }

// Rejectf is Reject with a format of package fmt.
func Rejectf(format string, arguments ...any) Response {
	return Reject(fmt.Sprintf(format, arguments...))
}

// Mutate lets a request pass with another object: the whole of it, which the host compares
// with the one that was sent. It may be anything that encoding/json encodes, or a
// json.RawMessage. Of a raw request it is the whole request.
//
// An object that was decoded into a type which lacks some of its fields loses them. To change
// objects of any kind, decode into map[string]any and use [SetNestedField].
func Mutate(object any) Response { return Response{Accepted: true, mutated: object} }

// RawResponse is an answer in the words of the protocol, a ValidationResponse in JSON, for
// what this package does not know. It is sent as it is.
func RawResponse(answer json.RawMessage) Response { return Response{raw: answer} }

// WithCode returns the response with the HTTP status of a rejection, such as 403. Package
// net/http has names for them, but adds 2 MB to the module.
func (r Response) WithCode(code uint16) Response {
	r.Code = code
	return r
}

// WithWarnings returns the response with more warnings, which the user sees.
func (r Response) WithWarnings(warnings ...string) Response {
	r.Warnings = append(r.Warnings[:len(r.Warnings):len(r.Warnings)], warnings...)
	return r
}

// WithAuditAnnotation returns the response with an annotation for the audit log, instead of an
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

// encode returns the response in JSON. The object is put in behind the rest: encoding/json
// would read all of it once more to compact it.
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
