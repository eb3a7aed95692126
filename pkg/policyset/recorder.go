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

package policyset

// Recorder records what keeps policies from being evaluated. Implementations must be safe for
// concurrent use and fast, because they run while a request waits.
type Recorder interface {
	// PolicyLoaded records that a policy, a group or a member was loaded, and PolicyFreed that one
	// was freed and will not be recorded any more. While one set replaces another, two policies
	// have the same name.
	PolicyLoaded(policy string)
	PolicyFreed(policy string)
	// AddOpenBreakers adds count, which may be negative, to the number of a policy's open circuit
	// breakers. A count of 0 makes the policy known. While one set replaces another, two breakers
	// have the same name.
	AddOpenBreakers(policy string, count int)
	// CountBreakerTransition counts that a policy's circuit breaker became "open", which stops
	// evaluations of the policy, or "closed".
	CountBreakerTransition(policy, state string)
	// CountOverload counts an evaluation that failed at once because its policy was already busy
	// with as many as it may be.
	CountOverload(policy string)
}

// discard is a [Recorder] that does nothing.
type discard struct{}

func (discard) PolicyLoaded(string)                   {}
func (discard) PolicyFreed(string)                    {}
func (discard) AddOpenBreakers(string, int)           {}
func (discard) CountBreakerTransition(string, string) {}
func (discard) CountOverload(string)                  {}
