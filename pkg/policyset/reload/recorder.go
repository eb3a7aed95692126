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

// The results of a change, as a [Recorder] gets them.
const (
	resultSucceeded = "succeeded"
	resultFailed    = "failed"
)

// Recorder records which policies are served. Implementations must be safe for concurrent use.
type Recorder interface {
	// SetPolicies sets how many policies are enforced.
	SetPolicies(count int)
	// SetPolicySet sets the hash of the set of policies in a state: "desired" is what the
	// configuration asks for, and "running" is what is served. They differ while a change is bad.
	SetPolicySet(state, hash string)
	// ObserveReload records how long loading policies took, at the start or after a change. result
	// is "succeeded" or "failed".
	ObserveReload(result string, duration time.Duration)
	// SetReloadFailedSince sets since when the configured policies are not served. The zero time
	// means that they are.
	SetReloadFailedSince(since time.Time)
	// CountLastGoodSave counts an attempt to keep a set for a restart. result is "succeeded" or
	// "failed".
	CountLastGoodSave(result string)
}

// discard is a [Recorder] that does nothing.
type discard struct{}

func (discard) SetPolicies(int)                     {}
func (discard) SetPolicySet(string, string)         {}
func (discard) ObserveReload(string, time.Duration) {}
func (discard) SetReloadFailedSince(time.Time)      {}
func (discard) CountLastGoodSave(string)            {}
