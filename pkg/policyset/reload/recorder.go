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

package reload

import "time"

// What becomes of a change, as a [Recorder] is told.
const (
	resultSucceeded = "succeeded"
	resultFailed    = "failed"
)

// Recorder takes notes of which policies are served. Implementations are safe for concurrent
// use.
type Recorder interface {
	// SetPolicies says how many policies are enforced now.
	SetPolicies(count int)
	// SetPolicySet says by its hash which set of policies is "desired", which the
	// configuration asks for, or "running", which is served: they differ while a change is bad.
	SetPolicySet(state, hash string)
	// ObserveReload says how long loading policies took, at the start or after a change, and
	// that it "succeeded" or "failed".
	ObserveReload(result string, duration time.Duration)
	// SetReloadFailedSince says since when what is served is not what is configured. The zero
	// time means that it is.
	SetReloadFailedSince(since time.Time)
	// CountLastGoodSave counts that keeping a set for a restart "succeeded" or "failed".
	CountLastGoodSave(result string)
}

// discard is a [Recorder] that forgets everything.
type discard struct{}

func (discard) SetPolicies(int)                     {}
func (discard) SetPolicySet(string, string)         {}
func (discard) ObserveReload(string, time.Duration) {}
func (discard) SetReloadFailedSince(time.Time)      {}
func (discard) CountLastGoodSave(string)            {}
