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

// Package verdict says what becomes of a request by what a policy answers: it applies the
// policy's mode, its right to mutate, its failure policy and its message. It is pure: shells
// put what it says into the form that their clients know.
package verdict

import (
	"fmt"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
)

// Terms are what of a policy's configuration has a say in what its answers come to.
type Terms struct {
	// Name is what the policy is called.
	Name string
	// Monitor is whether requests are admitted whatever the policy says.
	Monitor bool
	// MayMutate is whether the policy may change objects.
	MayMutate bool
	// FailOpen is whether a request is admitted if the policy fails.
	FailOpen bool
	// Message replaces what the policy says of a rejection; "" keeps it.
	Message string
}

// Answer is what a policy came up with: a response, or an error.
type Answer struct {
	// Response is what the policy said; nil if Err is set.
	Response *abi.ValidationResponse
	// Change is what that wants of the object, as [ChangeOf] says.
	Change Change
	// Err says why there is no verdict.
	Err error
	// Undecided is whether it could not even be told that the policy is to be asked, so
	// that its failure policy does not apply.
	Undecided bool
}

// Outcome is what an answer comes to, whatever the mode makes of it. The set is closed: it
// serves as a label of metrics.
type Outcome string

// The outcomes.
const (
	// Accepted and Denied are verdicts.
	Accepted Outcome = "accepted"
	Denied   Outcome = "denied"
	// FailedOpen and FailedClosed are answers without a verdict, of which the first does
	// not stand in the way of the request.
	FailedOpen   Outcome = "failed_open"
	FailedClosed Outcome = "failed_closed"
)

// Judgement is what becomes of a request by a policy's answer.
type Judgement struct {
	// Outcome is what the answer comes to.
	Outcome Outcome
	// Rejected is whether the request is rejected, which it is not in monitor mode.
	Rejected bool
	// Mutates is whether the object becomes the one that the response has.
	Mutates bool
	// Response is what the policy said, as far as it counts, or what is said in its place. It
	// has an object only if that is another one and may be. Nil if there is no verdict.
	Response *abi.ValidationResponse
	// Message replaces what the response or the error says of a rejection; "" keeps it.
	Message string
}

// What Kubewarden's users know to be said of mutations that cannot be.
const (
	mayNotMutate = "Request rejected by policy %s. The policy attempted to mutate the request, but it is currently configured to not allow mutations."
	objectIsNull = "Incoming object is null, which happens only with DELETE operations, but the policy is attempting a mutation. This is not allowed"
)

// Judge says what becomes of a request. The answer is not changed, and the judgement shares
// its parts.
//
// A mutation that cannot be is a denial, even if the policy denies too: what it says of the
// object that it wants is of no use. An object that is not there leaves nothing of the
// response.
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

// withoutChange returns a response that has all of another but what it wants of the object.
func withoutChange(r *abi.ValidationResponse) *abi.ValidationResponse {
	if r.MutatedObject == nil && r.Patch == nil {
		return r
	}
	rest := *r
	rest.MutatedObject, rest.Patch = nil, nil
	return &rest
}

// withoutMode is what the answer comes to.
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
