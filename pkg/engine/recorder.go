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

package engine

import "time"

// Recorder takes notes of what an [Engine] does. Implementations are safe for
// concurrent use and fast: they are called while an evaluation waits. What they are
// told has bounded labels only: no module, no text of a guest.
type Recorder interface {
	// ObserveLoad says how long a module was rewritten, and compiled or read from
	// the cache.
	ObserveLoad(rewriting, compiling time.Duration)
	// CountCompilation counts a module that was compiled rather than read from the cache, by result: [CompilationOK],
	// [CompilationFailed] or [CompilationKilled].
	CountCompilation(result string)
	// ObserveWait says how long an evaluation waited for an instance, or for one to
	// be made or brought to its state. Evaluations that find one are not told.
	ObserveWait(duration time.Duration)
	// ObserveEvaluation says what an evaluation took: its time from Acquire to
	// Release, its fuel, and the size of the linear memory at its end, in bytes.
	ObserveEvaluation(duration time.Duration, fuel, memoryBytes int64)
	// ObserveDerivation says how long it took to derive a state, waiting for an instance
	// included.
	ObserveDerivation(duration time.Duration)
	// ObserveReset says how long it took to bring an instance back to its snapshot.
	ObserveReset(duration time.Duration)
	// CountFailure counts a module that did not start or an evaluation that did not
	// end as it should, by [Phase] and [Cause].
	CountFailure(phase, cause string)
}

// How a compilation ends.
const (
	CompilationOK     = "ok"
	CompilationFailed = "failed" // the compiler refused the module, or could not store its code
	CompilationKilled = "killed" // its process died, or ran into the time limit
)

// discard is a Recorder that forgets everything.
type discard struct{}

func (discard) ObserveLoad(_, _ time.Duration)                {}
func (discard) CountCompilation(string)                       {}
func (discard) ObserveWait(time.Duration)                     {}
func (discard) ObserveEvaluation(_ time.Duration, _, _ int64) {}
func (discard) ObserveDerivation(time.Duration)               {}
func (discard) ObserveReset(time.Duration)                    {}
func (discard) CountFailure(_, _ string)                      {}
