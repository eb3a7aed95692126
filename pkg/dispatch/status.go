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

package dispatch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

// maxMessageBytes bounds a policy's message, or the text of an error, in a status.
const maxMessageBytes = 8 << 10

const (
	// maxCauses bounds the number of a policy's own causes, and maxDetailBytes each field of its
	// details.
	maxCauses, maxDetailBytes = 16, 1 << 10
	// maxRetryAfterSeconds bounds how long a policy can make clients wait. Clients obey before they
	// try again.
	maxRetryAfterSeconds = 60
)

// refusal is one policy's part in the rejection of a request.
type refusal struct {
	message string
	code    int32
	reason  metav1.StatusReason
	cause   metav1.StatusCause
	// details are the policy's own details, with its causes or those of a group's members.
	details metav1.StatusDetails
}

// denial returns the refusal of a policy that denied the request. Its message is the policy's own,
// or the configured one. The policy's own message is always a cause, and further causes of the
// policy or of a group's members follow it. As with a webhook, the reason replaces a missing
// message.
func denial(e *evaluation) *refusal {
	response := e.judgement.Response
	said := cut(response.Explanation(), maxMessageBytes)
	r := &refusal{
		message: fmt.Sprintf("WasmAdmission policy %q denied the request", e.policy().Name()),
		code:    statusCode(response.Code),
		reason:  metav1.StatusReason(cut(response.Reason, maxMessageBytes)),
		cause:   cause(e.policy(), said),
	}
	if custom := e.judgement.Message; custom != "" {
		said = custom
	}
	if said == "" {
		r.message += " without explanation"
	} else {
		r.message += ": " + said
	}
	if response.Details != nil {
		r.details = boundedDetails(response.Details)
	}
	for _, cause := range response.Causes {
		r.details.Causes = append(r.details.Causes,
			metav1.StatusCause{Field: cause.Field, Message: cut(cause.Message, maxMessageBytes)})
	}
	return r
}

// cause names a policy in the way that problems of the configuration do.
func cause(policy *policyset.Policy, said string) metav1.StatusCause {
	return metav1.StatusCause{Field: "policies[" + policy.Name() + "]", Message: said}
}

// boundedDetails returns the part of a policy's details that is passed on.
func boundedDetails(d *metav1.StatusDetails) metav1.StatusDetails {
	kept := metav1.StatusDetails{
		Name: cut(d.Name, maxDetailBytes), Group: cut(d.Group, maxDetailBytes),
		Kind:              cut(d.Kind, maxDetailBytes),
		UID:               types.UID(cut(string(d.UID), maxDetailBytes)),
		RetryAfterSeconds: min(max(d.RetryAfterSeconds, 0), maxRetryAfterSeconds),
	}
	for _, c := range d.Causes[:min(len(d.Causes), maxCauses)] {
		kept.Causes = append(kept.Causes, metav1.StatusCause{
			Type:    metav1.CauseType(cut(string(c.Type), maxDetailBytes)),
			Message: cut(c.Message, maxDetailBytes), Field: cut(c.Field, maxDetailBytes),
		})
	}
	return kept
}

// failure returns the refusal of a policy that has no verdict. The configured message does not
// apply to it. If it is unknown whether the policy matches, for example because a namespace was not
// found, the status is that of the underlying error, as with a webhook.
func failure(e *evaluation) *refusal {
	said := cut(verdict.Explain(e.err), maxMessageBytes)
	r := &refusal{
		message: fmt.Sprintf("WasmAdmission policy %q failed: %s", e.policy().Name(), said),
		code:    http.StatusInternalServerError,
		cause:   cause(e.policy(), said),
	}
	if status := apierrors.APIStatus(nil); e.undecided && errors.As(e.err, &status) {
		r.code, r.reason = status.Status().Code, status.Status().Reason
	}
	return r
}

// statusCode returns the code that a webhook's denial would have: the one that the policy asks for
// if it is an error code, and otherwise the nearest error code. The server cannot send arbitrary
// codes.
func statusCode(wanted int32) int32 {
	return min(max(wanted, http.StatusBadRequest), 599)
}

// reject combines all refusals into one status. Code, reason and details are those of the first
// refusal in the order of the policies' names. Causes are those of all.
func reject(refusals []*refusal) error {
	if len(refusals) == 0 {
		return nil
	}
	status := metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    refusals[0].code,
		Reason:  refusals[0].reason,
		Details: refusals[0].details.DeepCopy(),
	}
	status.Details.Causes = nil
	if status.Reason == "" && status.Code == http.StatusInternalServerError {
		status.Reason = metav1.StatusReasonInternalError
	}
	messages := make([]string, len(refusals))
	for n, r := range refusals {
		messages[n] = r.message
		status.Details.Causes = append(append(status.Details.Causes, r.cause), r.details.Causes...)
	}
	status.Message = strings.Join(messages, "; ")
	return &apierrors.StatusError{ErrStatus: status}
}

// cut shortens a text to at most limit bytes, between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const ellipsis = "…"
	if limit < len(ellipsis) {
		return ""
	}
	end := limit - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
