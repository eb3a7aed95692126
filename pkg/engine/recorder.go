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

// Recorder receives an [Engine]'s measurements. Implementations must be safe for concurrent use and
// fast, because an evaluation waits for each call. Labels are bounded: they never contain modules
// or text from a guest.
type Recorder interface {
	// ObserveLoad reports how long it took to rewrite a module, and to compile it or read it from
	// the cache.
	ObserveLoad(rewriting, compiling time.Duration)
	// CountCompilation counts a module that was compiled rather than read from the cache, by
	// result: [CompilationOK], [CompilationFailed], or [CompilationKilled].
	CountCompilation(result string)
	// ObserveWait reports how long an evaluation waited for an instance to be released, made, or
	// brought to its state. It is not called for evaluations that found an instance ready.
	ObserveWait(duration time.Duration)
	// ObserveEvaluation reports an evaluation's time from Acquire to Release, its fuel, and the
	// size of the linear memory at its end in bytes.
	ObserveEvaluation(duration time.Duration, fuel, memoryBytes int64)
	// ObserveDerivation reports how long it took to derive a state, including the wait for an
	// instance.
	ObserveDerivation(duration time.Duration)
	// ObserveReset reports how long it took to reset an instance to its snapshot.
	ObserveReset(duration time.Duration)
	// CountFailure counts a module that did not start or an evaluation that failed, by [Phase] and
	// [Cause].
	CountFailure(phase, cause string)
}

// The results of a compilation.
const (
	CompilationOK     = "ok"
	CompilationFailed = "failed" // the compiler refused the module, or could not store its code
	CompilationKilled = "killed" // its process died or exceeded the time limit
)

// discard is a Recorder that ignores everything.
type discard struct{}

func (discard) ObserveLoad(_, _ time.Duration)                {}
func (discard) CountCompilation(string)                       {}
func (discard) ObserveWait(time.Duration)                     {}
func (discard) ObserveEvaluation(_ time.Duration, _, _ int64) {}
func (discard) ObserveDerivation(time.Duration)               {}
func (discard) ObserveReset(time.Duration)                    {}
func (discard) CountFailure(_, _ string)                      {}
