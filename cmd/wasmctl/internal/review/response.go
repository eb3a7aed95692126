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

	"github.com/wasm-admission/wasm-admission/internal/jsonpatch"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// Response is the AdmissionResponse of a policy, with the same names and order of fields as in
// Kubewarden's hosts.
type Response struct {
	// UID is the UID of the request.
	UID string `json:"uid"`
	// Allowed is the verdict.
	Allowed bool `json:"allowed"`
	// PatchType is "JSONPatch" if there is a patch.
	PatchType string `json:"patchType,omitempty"`
	// Patch is a JSON patch, which is encoded in base64. It is nil if nothing changes.
	Patch []byte `json:"patch,omitempty"`
	// Status explains the verdict. It is nil if there is no explanation.
	Status *Status `json:"status,omitempty"`
	// AuditAnnotations and Warnings are null if there are none.
	AuditAnnotations map[string]string `json:"auditAnnotations"`
	Warnings         []string          `json:"warnings"`
}

// internalError is the beginning of errors that Kubewarden's users know.
const internalError = "internal server error: "

// maxPatchBytes bounds a patch, which can be far larger than the object.
const maxPatchBytes = 32 << 20

// Respond builds a response from a policy's answer, or from the error that replaced it, on the
// policy's terms. It does not modify the answer.
func (r *Request) Respond(terms verdict.Terms, answer *abi.ValidationResponse,
	err error) *Response {
	judgement := terms.Judge(verdict.Answer{Response: answer, Change: r.change(answer), Err: err})
	response := &Response{UID: r.UID, Allowed: !judgement.Rejected}
	if said := judgement.Response; said != nil {
		response.AuditAnnotations, response.Warnings = said.AuditAnnotations, said.Warnings
		response.Status = statusOf(said)
		patch, err := r.patch(said)
		if err != nil {
			return r.Respond(terms, nil, err)
		}
		if patch != nil {
			response.PatchType, response.Patch = "JSONPatch", patch
		}
	} else {
		response.Status = &Status{Message: explanation(err), Code: http.StatusInternalServerError}
	}
	if terms.Monitor {
		response.Status = nil
	}
	if judgement.Rejected && judgement.Message != "" {
		response.Status = response.Status.withMessage(judgement.Message)
	}
	return response
}

// change returns the change of the object that an answer requests.
func (r *Request) change(answer *abi.ValidationResponse) verdict.Change {
	if answer == nil {
		return verdict.Unchanged
	}
	return verdict.ChangeOf(r.before, answer.MutatedObject)
}

// statusOf returns a policy's explanation of its verdict, or nil if there is none.
func statusOf(answer *abi.ValidationResponse) *Status {
	if answer.Explanation() == "" && answer.Code == 0 && answer.Details == nil &&
		len(answer.Causes) == 0 {
		return nil
	}
	status := &Status{
		Message: answer.Message,
		Reason:  answer.Reason,
		Details: answer.Details.DeepCopy(),
		Code:    answer.Code,
	}
	for _, cause := range answer.Causes {
		status.addCause(metav1.StatusCause{Field: cause.Field, Message: cause.Message})
	}
	return status
}

// patch returns the patch from the request's object to the mutated one, or nil if nothing changes.
// It keeps a policy's own patch unchanged, because users look for the operations that they wrote.
func (r *Request) patch(answer *abi.ValidationResponse) ([]byte, error) {
	if answer.MutatedObject == nil || answer.Patch != nil {
		return answer.Patch, nil
	}
	after, err := jsonpatch.Decode(answer.MutatedObject)
	if err != nil {
		return nil, err
	}
	operations, err := jsonpatch.Diff(r.object, after, maxPatchBytes)
	if err != nil || len(operations) == 0 {
		return nil, err
	}
	return json.Marshal(operations)
}

// explanation says why there is no answer.
func explanation(err error) string {
	var g *abi.GuestError
	var e *engine.Error
	switch {
	case engine.CauseOf(err) == engine.CauseDeadline:
		return verdict.DeadlineExceeded
	case errors.As(err, &g) && g.End != nil && g.Text != "":
		// A program's last output stands alone.
		return strings.TrimSpace(g.Text)
	case errors.As(err, &g):
		return internalError + err.Error()
	case errors.As(err, &e) && e.Phase == engine.PhaseCall:
		return internalError + (&abi.GuestError{Text: e.Error()}).Error()
	}
	return internalError + err.Error()
}
