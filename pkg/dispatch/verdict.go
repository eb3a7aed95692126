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
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// Keys of audit annotations.
const (
	// exemptAnnotation says why a request was not evaluated.
	exemptAnnotation = "wasm.admission.k8s.io/exempt"
	// failedOpenAnnotation names the policies that failed and were ignored.
	failedOpenAnnotation = "failed-open.wasm.admission.k8s.io/validate"
)

// deadlineMessage is the sentence that Kubewarden's users know.
const deadlineMessage = "Policy execution interrupted because it exceeded the allowed execution time"

// refusal is a policy's part in the rejection of a request.
type refusal struct {
	message string
	code    int32
	cause   metav1.StatusCause
}

// conclude makes one answer of all evaluations: nil if the request may pass.
func (d *Dispatcher) conclude(ctx context.Context, r *request, evaluations []evaluation) error {
	var refusals []refusal
	var ignored []string
	for n := range evaluations {
		e := &evaluations[n]
		outcome := metrics.Accepted
		switch {
		case e.err == nil && e.mutates():
			outcome = metrics.Denied
			refusals = append(refusals, refuse(e.policy, fmt.Sprintf(
				"Request rejected by policy %s. The policy attempted to mutate the request, but it is currently configured to not allow mutations.", e.policy.Name()), 0))
		case e.err == nil && e.response.Accepted:
		case e.err == nil:
			outcome = metrics.Denied
			refusals = append(refusals, refuse(e.policy, e.response.Message, e.response.Code))
		case e.policy.Spec().FailurePolicy == admissionregistrationv1.Ignore:
			outcome = metrics.FailedOpen
			ignored = append(ignored, e.policy.Name())
		default:
			outcome = metrics.FailedClosed
			refusals = append(refusals, failure(e))
		}
		d.report(ctx, r, e, outcome)
	}
	if len(ignored) > 0 {
		annotate(ctx, r.attr, failedOpenAnnotation, strings.Join(ignored, ","))
	}
	return reject(refusals)
}

// report tells the client, the log and the metrics of one evaluation.
func (d *Dispatcher) report(ctx context.Context, r *request, e *evaluation, outcome metrics.Outcome) {
	d.recorder.ObserveEvaluation(e.policy.Name(), string(r.attr.GetOperation()), outcome, e.duration)
	if e.err != nil {
		klog.FromContext(ctx).Error(e.err, "Policy failed", "policy", e.policy.Name(), "moduleDigest", e.policy.Digest(),
			"failurePolicy", e.policy.Spec().FailurePolicy, "cause", engine.CauseOf(e.err), "requestUID", r.uid)
		if outcome == metrics.FailedOpen {
			warn(ctx, fmt.Sprintf("WasmAdmission policy %q failed and was ignored: %s", e.policy.Name(), explain(e.err)))
		}
		return
	}
	for _, text := range e.response.Warnings {
		warn(ctx, text)
	}
}

// mutates is whether a policy wants another object than there is. One that hands
// the object back as it was changes nothing.
func (e *evaluation) mutates() bool {
	if e.response.MutatedObject == nil {
		return false
	}
	var before struct {
		Object any `json:"object"`
	}
	var after any
	if json.Unmarshal(e.review.json, &before) != nil || json.Unmarshal(e.response.MutatedObject, &after) != nil {
		return true
	}
	return !equality.Semantic.DeepEqual(before.Object, after)
}

// refuse is a policy's own verdict: what it said, or what the configuration says
// instead. What it said is kept as the cause.
func refuse(policy *policyset.Policy, said string, code int32) refusal {
	r := refusal{
		message: fmt.Sprintf("WasmAdmission policy %q denied the request", policy.Name()),
		code:    statusCode(code),
		cause:   cause(policy, said),
	}
	if custom := policy.Spec().Message; custom != "" {
		said = custom
	}
	if said == "" {
		r.message += " without explanation"
	} else {
		r.message += ": " + said
	}
	return r
}

// cause names a policy as the configuration's problems do.
func cause(policy *policyset.Policy, said string) metav1.StatusCause {
	return metav1.StatusCause{Field: "policies[" + policy.Name() + "]", Message: said}
}

// failure is the rejection that a policy causes by having no verdict.
func failure(e *evaluation) refusal {
	said := explain(e.err)
	return refusal{
		message: fmt.Sprintf("WasmAdmission policy %q failed: %s", e.policy.Name(), said),
		code:    http.StatusInternalServerError,
		cause:   cause(e.policy, said),
	}
}

func explain(err error) string {
	if engine.CauseOf(err) == engine.CauseDeadline {
		return deadlineMessage + ": " + err.Error()
	}
	return err.Error()
}

// statusCode is the code that a webhook's denial would have: what the policy
// asks for, if it is one of an error, and else the nearest that is. The server
// cannot send arbitrary ones.
func statusCode(wanted int32) int32 {
	return min(max(wanted, http.StatusBadRequest), 599)
}

// reject makes one status of all refusals. Its code is that of the first, in the
// order of the policies' names.
func reject(refusals []refusal) error {
	if len(refusals) == 0 {
		return nil
	}
	status := metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    refusals[0].code,
		Details: &metav1.StatusDetails{},
	}
	if status.Code == http.StatusInternalServerError {
		status.Reason = metav1.StatusReasonInternalError
	}
	messages := make([]string, len(refusals))
	for n, r := range refusals {
		messages[n] = r.message
		status.Details.Causes = append(status.Details.Causes, r.cause)
	}
	status.Message = strings.Join(messages, "; ")
	return &apierrors.StatusError{ErrStatus: status}
}

// warn sends a warning to the client. A header cannot carry control characters.
func warn(ctx context.Context, text string) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	warning.AddWarning(ctx, "", text)
}

func annotate(ctx context.Context, attr admission.Attributes, key, value string) {
	if err := attr.AddAnnotation(key, value); err != nil {
		klog.FromContext(ctx).Error(err, "Adding an audit annotation failed", "key", key)
	}
}
