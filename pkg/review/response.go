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

package review

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/jsonpatch"
)

// Response is the AdmissionResponse of a policy, with the names and the order of fields
// that Kubewarden's hosts have.
type Response struct {
	// UID is that of the request.
	UID string `json:"uid"`
	// Allowed is the verdict.
	Allowed bool `json:"allowed"`
	// PatchType is "JSONPatch" if there is a patch.
	PatchType string `json:"patchType,omitempty"`
	// Patch is a JSON patch, in base64 when it is encoded; nil if nothing is changed.
	Patch []byte `json:"patch,omitempty"`
	// Status is what is said of the verdict, nil if nothing is.
	Status *Status `json:"status,omitempty"`
	// AuditAnnotations and Warnings are null when there are none.
	AuditAnnotations map[string]string `json:"auditAnnotations"`
	Warnings         []string          `json:"warnings"`
}

// Status is the part of metav1.Status that policies have a say in.
type Status struct {
	Message string                `json:"message,omitempty"`
	Reason  string                `json:"reason,omitempty"`
	Details *metav1.StatusDetails `json:"details,omitempty"`
	// Code is like a status of HTTP; 0 if there is none.
	Code int32 `json:"code,omitempty"`
}

// DeadlineMessage is what is said of an evaluation whose time was up.
const DeadlineMessage = "Policy execution interrupted because it exceeded the allowed execution time"

// Sentences that Kubewarden's users know.
const (
	internalError = "internal server error: "
	objectIsNull  = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
)

// maxPatchBytes bounds a patch, which can be far larger than what it changes.
const maxPatchBytes = 32 << 20

// Respond makes a response of a policy's answer, or of the error that it got instead of
// one.
func (r *Request) Respond(answer *abi.ValidationResponse, err error) *Response {
	if err != nil {
		return r.fail(explain(err))
	}
	response := &Response{
		UID:              r.UID,
		Allowed:          answer.Accepted,
		AuditAnnotations: answer.AuditAnnotations,
		Warnings:         answer.Warnings,
	}
	if answer.Explanation() != "" || answer.Code != 0 || answer.Details != nil || len(answer.Causes) > 0 {
		response.Status = &Status{Message: answer.Message, Reason: answer.Reason, Details: answer.Details.DeepCopy(), Code: answer.Code}
	}
	for _, cause := range answer.Causes {
		response.Status.addCause(metav1.StatusCause{Field: cause.Field, Message: cause.Message})
	}
	if answer.MutatedObject == nil {
		return response
	}
	if r.object == nil {
		return &Response{UID: r.UID, Status: &Status{Message: objectIsNull}}
	}
	patch, err := r.patch(answer)
	if err != nil {
		return r.fail(internalError + err.Error())
	}
	if patch != nil {
		response.PatchType, response.Patch = "JSONPatch", patch
	}
	return response
}

// patch returns what makes the mutated object of the request's, nil if they are equal. A
// policy's own patch stays as it is: people look for the operations that they wrote.
func (r *Request) patch(answer *abi.ValidationResponse) ([]byte, error) {
	after, err := jsonpatch.Decode(answer.MutatedObject)
	if err != nil {
		return nil, err
	}
	if answer.Patch != nil {
		if jsonpatch.Equal(r.object, after) {
			return nil, nil
		}
		return answer.Patch, nil
	}
	operations, err := jsonpatch.Diff(r.object, after, maxPatchBytes)
	if err != nil || len(operations) == 0 {
		return nil, err
	}
	return json.Marshal(operations)
}

func (r *Request) fail(message string) *Response {
	return &Response{UID: r.UID, Status: &Status{Message: message, Code: http.StatusInternalServerError}}
}

// explain says why there is no answer.
func explain(err error) string {
	var g *abi.GuestError
	var e *engine.Error
	switch {
	case engine.CauseOf(err) == engine.CauseDeadline:
		return DeadlineMessage
	case errors.As(err, &g) && g.End != nil && g.Text != "":
		// A program's last words stand for themselves.
		return strings.TrimSpace(g.Text)
	case errors.As(err, &g):
		return internalError + err.Error()
	case errors.As(err, &e) && e.Phase == engine.PhaseCall:
		return internalError + (&abi.GuestError{Text: e.Error()}).Error()
	}
	return internalError + err.Error()
}

func (s *Status) addCause(cause metav1.StatusCause) {
	if s.Details == nil {
		s.Details = &metav1.StatusDetails{}
	}
	s.Details.Causes = append(s.Details.Causes, cause)
}
