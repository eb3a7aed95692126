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

package rego

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// decode decodes a result set, which must have a first result. An undefined result does not count
// as an acceptance, because it looks like that of a broken policy. Field names are case-sensitive.
func decode[T any](kind string, data []byte) (*T, error) {
	fail := func(err error) (*T, error) {
		return nil, &abi.ResponseError{
			Err: fmt.Errorf("cannot interpret %s policy result: %w", kind, err),
		}
	}
	if !utf8.Valid(data) {
		return fail(errors.New("not UTF-8"))
	}
	if err := checkParts("a result", data); err != nil {
		return fail(err)
	}
	var results []struct {
		Result *T `json:"result"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &results); err != nil {
		return fail(err)
	}
	if len(results) == 0 {
		return fail(errors.New("the policy's entrypoint is undefined"))
	}
	if results[0].Result == nil {
		return fail(errors.New("missing field `result`"))
	}
	return results[0].Result, nil
}

// maxParts limits the number of parts in JSON from a guest. Decoding takes up to a hundred bytes
// for each part beside its text. A result with Kubernetes' largest objects has some tens of
// thousands of parts.
const maxParts = 200_000

// checkParts refuses JSON that may have too many parts, before it is decoded.
func checkParts(what string, data []byte) error {
	if parts := jsonparts.UpperBound(data); parts > maxParts {
		return &engine.LimitError{Limit: "parts of " + what, Value: int64(parts), Max: maxParts}
	}
	return nil
}

// review is the result of an Open Policy Agent policy: an AdmissionReview. Only its response
// counts.
type review struct {
	Response *admissionResponse `json:"response"`
}

type admissionResponse struct {
	Allowed          *bool             `json:"allowed"`
	Status           *status           `json:"status"`
	PatchType        *string           `json:"patchType"`
	Patch            []byte            `json:"patch"` // base64 in JSON
	AuditAnnotations map[string]string `json:"auditAnnotations"`
	Warnings         []string          `json:"warnings"`
}

type status struct {
	Message *string `json:"message"`
	Reason  *string `json:"reason"`
	Details *struct {
		metav1.StatusDetails
		// RetryAfter is how Kubewarden spells retryAfterSeconds.
		RetryAfter *int32 `json:"retry_after_seconds"`
	} `json:"details"`
	Code *int64 `json:"code"`
}

// decodeReview decodes an Open Policy Agent policy's result. The result may patch the object of the
// request.
func decodeReview(data, request []byte, p patcher) (*abi.ValidationResponse, error) {
	const kind = "OPA"
	r, err := decode[review](kind, data)
	if err != nil {
		return nil, err
	}
	response, err := r.Response.validation(request, p)
	if errors.As(err, new(*engine.Error)) {
		// The deadline has passed; the answer may be correct.
		return nil, err
	}
	if err != nil {
		return nil, &abi.ResponseError{
			Err: fmt.Errorf("cannot interpret %s policy result: %w", kind, err),
		}
	}
	return response, nil
}

func (r *admissionResponse) validation(request []byte,
	p patcher) (_ *abi.ValidationResponse, err error) {
	if r == nil {
		return nil, errors.New("missing field `response`")
	}
	if r.Allowed == nil {
		return nil, errors.New("missing field `allowed`")
	}
	v := &abi.ValidationResponse{
		Accepted:         *r.Allowed,
		AuditAnnotations: r.AuditAnnotations,
		Warnings:         r.Warnings,
	}
	if r.Status != nil {
		if err := r.Status.into(v); err != nil {
			return nil, err
		}
	}
	if len(r.Patch) == 0 {
		return v, nil
	}
	if r.PatchType == nil || *r.PatchType != "JSONPatch" {
		return nil, errors.New("patchType must be JSONPatch if there is a patch")
	}
	if v.MutatedObject, err = p.patchObject(request, r.Patch); err != nil {
		return nil, err
	}
	if v.MutatedObject != nil {
		v.Patch = r.Patch
	}
	return v, nil
}

// into copies the status of a verdict into a response.
func (s *status) into(v *abi.ValidationResponse) error {
	if s.Message != nil {
		v.Message = *s.Message
	}
	if s.Reason != nil {
		v.Reason = *s.Reason
	}
	if s.Details != nil {
		v.Details = &s.Details.StatusDetails
		if s.Details.RetryAfter != nil {
			v.Details.RetryAfterSeconds = *s.Details.RetryAfter
		}
	}
	if s.Code != nil {
		if *s.Code < 0 || *s.Code > math.MaxUint16 {
			return fmt.Errorf("code %d is out of range: 0 to %d are allowed", *s.Code,
				math.MaxUint16)
		}
		v.Code = int32(*s.Code)
	}
	return nil
}

// violation is an element of a Gatekeeper policy's result. Its details are not for users.
type violation struct {
	Message *string `json:"msg"`
}

// decodeViolations decodes a Gatekeeper policy's result. A result without violations accepts the
// request.
func decodeViolations(data []byte) (*abi.ValidationResponse, error) {
	const kind = "Gatekeeper"
	raw, err := decode[[]json.RawMessage](kind, data)
	if err != nil {
		return nil, err
	}
	var messages []string
	for n, r := range *raw {
		var v *violation
		err := kjson.UnmarshalCaseSensitivePreserveInts(r, &v)
		if err == nil && v == nil {
			err = errors.New("null is not a violation")
		}
		if err != nil {
			return nil, &abi.ResponseError{
				Err: fmt.Errorf("cannot interpret %s policy result: violation %d: %w", kind, n,
					err),
			}
		}
		if v.Message != nil {
			messages = append(messages, *v.Message)
		}
	}
	return &abi.ValidationResponse{Accepted: len(*raw) == 0, Message: strings.Join(messages, ", ")},
		nil
}
