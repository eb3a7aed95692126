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

import "time"

// phase is a phase of admission, named as the in-tree admission metrics do.
type phase string

const (
	admit    phase = "admit"    // mutating
	validate phase = "validate" // validating
)

// What guests say beside their verdicts, as a [Recorder] is told.
const (
	outputWarning         = "warning"
	outputAuditAnnotation = "audit_annotation"
)

// Recorder takes notes of requests and their evaluations. Implementations are safe for
// concurrent use and fast: they are called while a request waits. A phase is "admit" or
// "validate".
type Recorder interface {
	// ObserveEvaluation says that a policy was evaluated for a request: with which operation
	// (CREATE, UPDATE, DELETE or CONNECT), to which outcome, one of package verdict, and
	// whether the request was rejected for it, which in monitor mode it never is.
	ObserveEvaluation(policy, phase, operation, outcome string, rejected bool,
		duration time.Duration)
	// AddFuel says how much fuel a policy burnt for a request.
	AddFuel(policy string, fuel int64)
	// CountMutation counts an object that a policy changed.
	CountMutation(policy, operation string)
	// CountDroppedOutput counts what a policy's guest said and nobody was told, because it was
	// too much or had not the form that it has to have: "warning" or "audit_annotation".
	CountDroppedOutput(policy, output string, count int)
	// CountExemption counts a request that was not evaluated in a phase, for its "user",
	// "group" or "namespace", or because the "apiserver" sent it to itself.
	CountExemption(phase, reason string)
}

// discard is a [Recorder] that forgets everything.
type discard struct{}

func (discard) ObserveEvaluation(string, string, string, string, bool, time.Duration) {}
func (discard) AddFuel(string, int64)                                                 {}
func (discard) CountMutation(string, string)                                          {}
func (discard) CountDroppedOutput(string, string, int)                                {}
func (discard) CountExemption(string, string)                                         {}
