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

// Package verdict decides what happens to a request after a policy's answer. It applies the
// policy's mode, its right to mutate, its failure policy and its message. It is pure: callers put
// the result into the form that their clients expect.
package verdict

import (
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// Terms are the parts of a policy's configuration that decide what follows from its answers.
type Terms struct {
	// Name is the name of the policy.
	Name string
	// Monitor admits requests whatever the policy answers.
	Monitor bool
	// MayMutate allows the policy to change objects.
	MayMutate bool
	// FailOpen admits a request if the policy fails.
	FailOpen bool
	// Message replaces the policy's message of a rejection. "" keeps it.
	Message string
}

// Answer is the answer of a policy: a response or an error.
type Answer struct {
	// Response is the policy's response, or nil if Err is set.
	Response *abi.ValidationResponse
	// Change says how the response changes the object. See [ChangeOf].
	Change Change
	// Err says why there is no verdict.
	Err error
	// Undecided is set if it is unknown whether the policy matches. Its failure policy does not
	// apply then.
	Undecided bool
}

// Outcome is the outcome of an evaluation, regardless of the mode. The set is closed, because it is
// a label of metrics.
type Outcome string

// The outcomes.
const (
	// Accepted and Denied are verdicts.
	Accepted Outcome = "accepted"
	Denied   Outcome = "denied"
	// FailedOpen and FailedClosed are evaluations without a verdict. FailedOpen does not reject the
	// request.
	FailedOpen   Outcome = "failed_open"
	FailedClosed Outcome = "failed_closed"
)

// Judgement says what happens to a request after a policy's answer.
type Judgement struct {
	// Outcome is the outcome of the evaluation.
	Outcome Outcome
	// Rejected is set if the request is rejected, which never happens in monitor mode.
	Rejected bool
	// Mutates is set if the object of the response replaces the request's.
	Mutates bool
	// Response is the policy's response as far as it applies, or another one in its place. It has
	// an object only if that differs and is allowed. It is nil if there is no verdict.
	Response *abi.ValidationResponse
	// Message replaces the message of the response or the error in a rejection. "" keeps it.
	Message string
}

// Kubewarden's messages for mutations that are not allowed. Users know them.
const (
	mayNotMutate = "Request rejected by policy %s. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
	objectIsNull = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
)

// Judge decides what happens to a request. It does not change the answer, but the judgement shares
// parts of it.
//
// A mutation that is not allowed is a denial, even if the policy denies the request too, because
// the policy's message is about the object that it wants. A mutation of an object that does not
// exist discards the whole response.
func (t Terms) Judge(a Answer) Judgement {
	j := t.withoutMode(a)
	if j.Outcome == Denied || j.Outcome == FailedClosed {
		j.Rejected, j.Message = !t.Monitor, t.Message
	}
	if t.Monitor && j.Response != nil {
		j.Response = withoutChange(j.Response)
	}
	j.Mutates = j.Outcome == Accepted && j.Response.MutatedObject != nil
	return j
}

// withoutChange returns a copy of a response without its object and patch.
func withoutChange(r *abi.ValidationResponse) *abi.ValidationResponse {
	if r.MutatedObject == nil && r.Patch == nil {
		return r
	}
	rest := *r
	rest.MutatedObject, rest.Patch = nil, nil
	return &rest
}

// withoutMode judges the answer regardless of the mode.
func (t Terms) withoutMode(a Answer) Judgement {
	switch {
	case a.Err != nil && t.FailOpen && !a.Undecided:
		return Judgement{Outcome: FailedOpen}
	case a.Err != nil:
		return Judgement{Outcome: FailedClosed}
	case a.Change == Impossible:
		return Judgement{Outcome: Denied, Response: &abi.ValidationResponse{Message: objectIsNull}}
	case a.Change == Changed && !t.MayMutate:
		return Judgement{Outcome: Denied, Response: &abi.ValidationResponse{
			Message:                 fmt.Sprintf(mayNotMutate, t.Name),
			AuditAnnotations:        a.Response.AuditAnnotations,
			OmittedAuditAnnotations: a.Response.OmittedAuditAnnotations,
			Warnings:                a.Response.Warnings,
			OmittedWarnings:         a.Response.OmittedWarnings,
		}}
	}
	response := a.Response
	if a.Change == Unchanged {
		response = withoutChange(response)
	}
	if response.Accepted {
		return Judgement{Outcome: Accepted, Response: response}
	}
	return Judgement{Outcome: Denied, Response: response}
}
