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

// maxMessageBytes bounds what a policy, or an error, says in a status. Objects that
// policies complain about at length are named by the first of them.
const maxMessageBytes = 8 << 10

const (
	// maxCauses is how many causes of its own a policy may give, and maxDetailBytes how long
	// each field of its details may be.
	maxCauses, maxDetailBytes = 16, 1 << 10
	// maxRetryAfterSeconds bounds how long a policy may have clients wait, who do as they are
	// told before they try again.
	maxRetryAfterSeconds = 60
)

// refusal is a policy's part in the rejection of a request.
type refusal struct {
	message string
	code    int32
	reason  metav1.StatusReason
	cause   metav1.StatusCause
	// details are the policy's own, with its causes or those of a group's members.
	details metav1.StatusDetails
}

// denial is a policy's refusal of a request: what it said, or what the configuration says
// instead. What it said is kept as the cause, with what else it said, or the members of a
// group did. As with a webhook, the reason is what explains it if there is no message.
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

// cause names a policy as the configuration's problems do.
func cause(policy *policyset.Policy, said string) metav1.StatusCause {
	return metav1.StatusCause{Field: "policies[" + policy.Name() + "]", Message: said}
}

// boundedDetails returns what is kept of a policy's details.
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

// failure is the rejection that a policy causes by having no verdict, which the configured
// message is not about. What keeps the
// apiserver from telling whether it is to be asked, such as a namespace that is not found,
// has a status of its own, which is a webhook's too.
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

// statusCode is the code that a webhook's denial would have: what the policy
// asks for, if it is one of an error, and else the nearest that is. The server
// cannot send arbitrary ones.
func statusCode(wanted int32) int32 {
	return min(max(wanted, http.StatusBadRequest), 599)
}

// reject makes one status of all refusals. Its code, reason and details are those of the
// first, in the order of the policies' names; its causes are those of all.
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

// cut shortens a text to a number of bytes, between two characters.
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
