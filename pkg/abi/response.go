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

// ValidationResponse is a policy's answer to an admission request. In JSON its
// names are in snake case, fields that are null count as absent, and fields that
// are not known are ignored.
type ValidationResponse struct {
	// Accepted is the verdict.
	Accepted bool
	// Message tells people why; empty if the policy gave none.
	Message string
	// Code is the HTTP status that the policy asks for, as given: 0 to 65535,
	// 0 if the policy gave none.
	Code int32
	// Reason and Details are those of the status that the policy answers with, as given;
	// empty if it gave none. Only policies of the Open Policy Agent answer with one.
	Reason  string
	Details *metav1.StatusDetails
	// MutatedObject is the object as the policy wants it, whole, or nil if it
	// changes nothing.
	MutatedObject json.RawMessage
	// Patch is the JSON patch (RFC 6902) that MutatedObject was made with, as the policy
	// gave it; nil if the policy gave the object, or changes nothing.
	Patch []byte
	// AuditAnnotations are for the audit event.
	AuditAnnotations map[string]string
	// Warnings are for whoever sent the request.
	Warnings []string
	// OmittedAuditAnnotations and OmittedWarnings are how many more there were, of which
	// 128 each are kept.
	OmittedAuditAnnotations, OmittedWarnings int
	// Causes are what the members of a policy group said that refused. No guest can set
	// them.
	Causes []Cause
}

// Explanation is what tells people why: the message, or else the reason, where many
// policies have what they want to say.
func (r *ValidationResponse) Explanation() string { return cmp.Or(r.Message, r.Reason) }

// Cause is a member's part in the verdict of a policy group.
type Cause struct {
	// Field names the member as in the group's configuration: spec.policies.<name>.
	Field string
	// Message is what the member said; empty if it gave no reason.
	Message string
}

// DecodeValidationResponse reads a policy's answer. Errors are of type
// [*ResponseError].
func DecodeValidationResponse(data []byte) (*ValidationResponse, error) {
	if usual := decodeUsual(data); usual != nil {
		return usual, nil
	}
	return decodeAny(data)
}

// decodeAny reads an answer, whatever it is.
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
			return nil, &ResponseError{Err: fmt.Errorf("code %d is out of range: 0 to %d are allowed", *wire.Code, math.MaxUint16)}
		}
		r.Code = int32(*wire.Code)
	}
	if string(wire.MutatedObject) != "null" {
		r.MutatedObject = wire.MutatedObject
	}
	return r, nil
}

// SettingsValidationResponse is a policy's answer to settings.
type SettingsValidationResponse struct {
	// Valid is whether the policy can work with them.
	Valid bool
	// Message tells people why not; empty if the policy gave none.
	Message string
}

// DecodeSettingsValidationResponse reads a policy's answer to settings. Errors
// are of type [*ResponseError].
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

// decode is strict where Go's own decoder is not: names are told apart by case.
func decode(data []byte, into any) error {
	if !utf8.Valid(data) {
		return &ResponseError{Err: errors.New("not UTF-8")}
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, into); err != nil {
		return &ResponseError{Err: err}
	}
	return nil
}
