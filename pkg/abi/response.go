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

package abi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// ValidationResponse is a policy's answer to an admission request. Its JSON names are in snake
// case. Null fields count as absent, and unknown fields are ignored.
type ValidationResponse struct {
	// Accepted is the verdict.
	Accepted bool
	// Message explains the verdict to people. It is empty if the policy gave no message.
	Message string
	// Code is the HTTP status that the policy asks for, unchanged: 0 to 65535, or 0 if the policy
	// gave none.
	Code int32
	// Reason and Details come unchanged from the status in the policy's answer. They are empty if
	// it gave none. Only Open Policy Agent policies answer with a status.
	Reason  string
	Details *metav1.StatusDetails
	// MutatedObject is the complete object that the policy wants, or nil if it changes nothing.
	MutatedObject json.RawMessage
	// Patch is the JSON patch (RFC 6902) from the policy that produced MutatedObject. It is nil if
	// the policy returned the object itself, or changes nothing.
	Patch []byte
	// AuditAnnotations go into the audit event.
	AuditAnnotations map[string]string
	// Warnings go to the client that sent the request.
	Warnings []string
	// OmittedAuditAnnotations and OmittedWarnings count the entries dropped. At most 128 of each
	// are kept.
	OmittedAuditAnnotations, OmittedWarnings int
	// Causes are the answers of the policy group members that refused the request. No guest can set
	// them.
	Causes []Cause
}

// Explanation returns the message, or the reason if the message is empty: many policies explain
// themselves in the reason.
func (r *ValidationResponse) Explanation() string { return cmp.Or(r.Message, r.Reason) }

// Cause is the part of one member in the verdict of a policy group.
type Cause struct {
	// Field names the member by its path in the group's configuration: spec.policies.<name>.
	Field string
	// Message is the member's message. It is empty if the member gave no reason.
	Message string
}

// DecodeValidationResponse decodes a policy's answer. Errors are of type [*ResponseError].
func DecodeValidationResponse(data []byte) (*ValidationResponse, error) {
	if usual := decodeUsual(data); usual != nil {
		return usual, nil
	}
	return decodeAny(data)
}

// decodeAny decodes any answer, with the full decoder.
func decodeAny(data []byte) (*ValidationResponse, error) {
	var wire struct {
		Accepted         *bool           `json:"accepted"`
		Message          *string         `json:"message"`
		Code             *int64          `json:"code"`
		MutatedObject    json.RawMessage `json:"mutated_object"`
		AuditAnnotations annotations     `json:"audit_annotations"`
		Warnings         texts           `json:"warnings"`
	}
	if err := decode(data, &wire); err != nil {
		return nil, err
	}
	if wire.Accepted == nil {
		return nil, &ResponseError{Err: errors.New("missing field `accepted`")}
	}
	r := &ValidationResponse{
		Accepted:                *wire.Accepted,
		AuditAnnotations:        wire.AuditAnnotations.kept(),
		Warnings:                wire.Warnings.kept,
		OmittedAuditAnnotations: wire.AuditAnnotations.omitted,
		OmittedWarnings:         wire.Warnings.omitted,
	}
	if wire.Message != nil {
		r.Message = *wire.Message
	}
	if wire.Code != nil {
		if *wire.Code < 0 || *wire.Code > math.MaxUint16 {
			return nil, &ResponseError{
				Err: fmt.Errorf("code %d is out of range: 0 to %d are allowed", *wire.Code,
					math.MaxUint16),
			}
		}
		r.Code = int32(*wire.Code)
	}
	if string(wire.MutatedObject) != "null" {
		r.MutatedObject = wire.MutatedObject
	}
	return r, nil
}

// SettingsValidationResponse is a policy's answer to a settings validation.
type SettingsValidationResponse struct {
	// Valid reports whether the policy accepts the settings.
	Valid bool
	// Message explains a refusal. It is empty if the policy gave no message.
	Message string
}

// DecodeSettingsValidationResponse decodes a policy's answer to a settings validation. Errors are
// of type [*ResponseError].
func DecodeSettingsValidationResponse(data []byte) (*SettingsValidationResponse, error) {
	var wire struct {
		Valid   *bool   `json:"valid"`
		Message *string `json:"message"`
	}
	if err := decode(data, &wire); err != nil {
		return nil, err
	}
	if wire.Valid == nil {
		return nil, &ResponseError{Err: errors.New("missing field `valid`")}
	}
	r := &SettingsValidationResponse{Valid: *wire.Valid}
	if wire.Message != nil {
		r.Message = *wire.Message
	}
	return r, nil
}

// decode is stricter than Go's own decoder: it distinguishes field names by case.
func decode(data []byte, into any) error {
	if !utf8.Valid(data) {
		return &ResponseError{Err: errors.New("not UTF-8")}
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return &ResponseError{Err: err}
	}
	return nil
}
