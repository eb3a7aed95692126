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

// phase is a phase of admission, with the name that the in-tree admission metrics use.
type phase string

const (
	admit    phase = "admit"    // mutating
	validate phase = "validate" // validating
)

// The kinds of a guest's output that [Recorder.CountDroppedOutput] counts.
const (
	outputWarning         = "warning"
	outputAuditAnnotation = "audit_annotation"
)

// Recorder records requests and their evaluations. Implementations must be safe for concurrent use
// and fast, because they run while a request waits. A phase is "admit" or "validate".
type Recorder interface {
	// ObserveEvaluation records that a policy evaluated a request. operation is CREATE, UPDATE,
	// DELETE or CONNECT. outcome is one of package verdict. rejected says whether the evaluation
	// rejected the request, which it never does in monitor mode.
	ObserveEvaluation(policy, phase, operation, outcome string, rejected bool,
		duration time.Duration)
	// AddFuel adds the fuel that a policy burned for a request.
	AddFuel(policy string, fuel int64)
	// CountMutation counts an object that a policy changed.
	CountMutation(policy, operation string)
	// CountDroppedOutput counts output of a policy's guest that was dropped, because it was too
	// much or malformed. output is "warning" or "audit_annotation".
	CountDroppedOutput(policy, output string, count int)
	// CountExemption counts a request that was exempt in a phase. reason is "user", "group" or
	// "namespace", or "apiserver" for requests of the apiserver to itself.
	CountExemption(phase, reason string)
}

// discard is a [Recorder] that does nothing.
type discard struct{}

func (discard) ObserveEvaluation(string, string, string, string, bool, time.Duration) {}
func (discard) AddFuel(string, int64)                                                 {}
func (discard) CountMutation(string, string)                                          {}
func (discard) CountDroppedOutput(string, string, int)                                {}
func (discard) CountExemption(string, string)                                         {}
