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

// Recorder takes notes of what keeps policies from being evaluated. Implementations are safe
// for concurrent use and fast: they are called while a request waits.
type Recorder interface {
	// PolicyLoaded says that a policy, a group or a member of one was loaded, and PolicyFreed that
	// one was freed: nothing more is told of it then. While one set of policies replaces another,
	// there are two with the same name.
	PolicyLoaded(policy string)
	PolicyFreed(policy string)
	// AddOpenBreakers says that so many more circuit breakers of a policy are open, or fewer
	// if the count is negative. Zero makes the policy known. While one set of policies
	// replaces another, there are two breakers with the same name.
	AddOpenBreakers(policy string, count int)
	// CountBreakerTransition counts that a policy's circuit breaker became "open", so that the
	// policy is not evaluated any more, or "closed".
	CountBreakerTransition(policy, state string)
	// CountOverload counts an evaluation that failed at once because its policy was busy with
	// as many as it may be.
	CountOverload(policy string)
}

// discard is a [Recorder] that forgets everything.
type discard struct{}

func (discard) PolicyLoaded(string)                   {}
func (discard) PolicyFreed(string)                    {}
func (discard) AddOpenBreakers(string, int)           {}
func (discard) CountBreakerTransition(string, string) {}
func (discard) CountOverload(string)                  {}
