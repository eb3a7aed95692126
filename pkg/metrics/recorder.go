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

// Package metrics is what the library tells the world about its work in numbers:
// an interface that the other packages call, and its implementation with
// Kubernetes' own metrics library. Nothing here is registered by itself: whoever
// embeds the library says where.
package metrics

import "time"

// Outcome is what became of an evaluation. The set is closed.
type Outcome string

// The outcomes.
const (
	// Accepted and Denied are verdicts of the policy.
	Accepted Outcome = "accepted"
	Denied   Outcome = "denied"
	// FailedClosed and FailedOpen are evaluations without a verdict: the failure
	// policy rejects the request, or lets it through.
	FailedClosed Outcome = "failed_closed"
	FailedOpen   Outcome = "failed_open"
)

// Type is the phase of admission, as the in-tree admission metrics name it. The set
// is closed.
type Type string

// The types.
const (
	// Admit is the mutating phase, and Validate the validating one.
	Admit    Type = "admit"
	Validate Type = "validate"
)

// Evaluation is what is noted of a policy's evaluation of a request.
type Evaluation struct {
	Policy string
	Type   Type
	// Operation is the request's: CREATE, UPDATE, DELETE or CONNECT.
	Operation string
	Outcome   Outcome
	// Rejected is whether the request was rejected for it. In monitor mode it never is.
	Rejected bool
	Duration time.Duration
}

// Output is something that a guest said beside its verdict. The set is closed.
type Output string

// The outputs.
const (
	OutputWarning         Output = "warning"
	OutputAuditAnnotation Output = "audit_annotation"
)

// Exemption is why a request was not evaluated at all. The set is closed.
type Exemption string

// The exemptions.
const (
	ExemptUser      Exemption = "user"
	ExemptGroup     Exemption = "group"
	ExemptNamespace Exemption = "namespace"
	// ExemptAPIServer is for requests of the apiserver to itself.
	ExemptAPIServer Exemption = "apiserver"
)

// SetState says of which set of policies something is said. The set is closed.
type SetState string

// The states.
const (
	// Desired is what the configuration asks for, and Running what is served: they
	// differ while a change is bad.
	Desired SetState = "desired"
	Running SetState = "running"
)

// ReloadResult is what became of a change. The set is closed.
type ReloadResult string

// The results.
const (
	ReloadSucceeded ReloadResult = "succeeded"
	ReloadFailed    ReloadResult = "failed"
)

// BreakGlassEvent is what happened to the break-glass file's order. The set is closed.
type BreakGlassEvent string

// The events.
const (
	// BreakGlassBegun and BreakGlassEnded are the begin and end of monitor mode.
	BreakGlassBegun BreakGlassEvent = "begun"
	BreakGlassEnded BreakGlassEvent = "ended"
	// BreakGlassRefused is a file that is not obeyed.
	BreakGlassRefused BreakGlassEvent = "refused"
)

// Recorder takes notes. Implementations are safe for concurrent use and fast:
// they are called while a request waits.
type Recorder interface {
	// SetPolicies says how many policies are enforced now.
	SetPolicies(count int)
	// SetUnmatchedRules says how many rules of policies match nothing that is served.
	SetUnmatchedRules(count int)
	// ObserveEvaluation says that a policy was evaluated.
	ObserveEvaluation(e Evaluation)
	// CountMutation counts an object that a policy changed.
	CountMutation(policy, operation string)
	// CountDroppedOutput counts what a policy's guest said and nobody was told,
	// because it was too much or had not the form that it has to have.
	CountDroppedOutput(policy string, output Output, count int)
	// CountExemption counts a request that was not evaluated in a phase.
	CountExemption(phase Type, reason Exemption)
	// AddOpenBreakers says that so many more circuit breakers of a policy are open, or
	// fewer if the count is negative. Zero makes the policy known. While one set of
	// policies replaces another, there are two breakers with the same name.
	AddOpenBreakers(policy string, count int)
	// CountBreakerTransition counts that a policy's circuit breaker opened or closed.
	CountBreakerTransition(policy string, to BreakerState)
	// CountOverload counts an evaluation that failed at once because its policy was busy
	// with as many as it may be.
	CountOverload(policy string)
	// SetPolicySet says which set of policies is in a state, by its hash.
	SetPolicySet(state SetState, hash string)
	// ObserveReload says how long loading policies took, at the start or after a
	// change, and what became of it.
	ObserveReload(result ReloadResult, duration time.Duration)
	// SetReloadFailedSince says since when what is served is not what is configured.
	// The zero time means that it is.
	SetReloadFailedSince(since time.Time)
	// CountLastGoodSave counts that a set was kept for a restart, or could not be.
	CountLastGoodSave(result ReloadResult)
	// SetBreakGlassUntil says until when the break-glass file holds policies in monitor
	// mode. The zero time means that it does not.
	SetBreakGlassUntil(until time.Time)
	// CountBreakGlass counts an event about the break-glass file.
	CountBreakGlass(event BreakGlassEvent)
}

// Discard is a Recorder that forgets everything.
type Discard struct{}

var _ Recorder = Discard{}

// SetPolicies implements [Recorder].
func (Discard) SetPolicies(int) {}

// SetUnmatchedRules implements [Recorder].
func (Discard) SetUnmatchedRules(int) {}

// ObserveEvaluation implements [Recorder].
func (Discard) ObserveEvaluation(Evaluation) {}

// CountMutation implements [Recorder].
func (Discard) CountMutation(string, string) {}

// CountDroppedOutput implements [Recorder].
func (Discard) CountDroppedOutput(string, Output, int) {}

// CountExemption implements [Recorder].
func (Discard) CountExemption(Type, Exemption) {}

// AddOpenBreakers implements [Recorder].
func (Discard) AddOpenBreakers(string, int) {}

// CountBreakerTransition implements [Recorder].
func (Discard) CountBreakerTransition(string, BreakerState) {}

// CountOverload implements [Recorder].
func (Discard) CountOverload(string) {}

// SetPolicySet implements [Recorder].
func (Discard) SetPolicySet(SetState, string) {}

// ObserveReload implements [Recorder].
func (Discard) ObserveReload(ReloadResult, time.Duration) {}

// SetReloadFailedSince implements [Recorder].
func (Discard) SetReloadFailedSince(time.Time) {}

// CountLastGoodSave implements [Recorder].
func (Discard) CountLastGoodSave(ReloadResult) {}

// SetBreakGlassUntil implements [Recorder].
func (Discard) SetBreakGlassUntil(time.Time) {}

// CountBreakGlass implements [Recorder].
func (Discard) CountBreakGlass(BreakGlassEvent) {}
