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

package kubernetes

// result is what became of a look at the cluster. The set is closed.
type result string

// The results.
const (
	// resultCached was answered from what is held.
	resultCached result = "cached"
	// resultAsked was answered by asking the server, or after waiting for a cache to fill.
	resultAsked result = "asked"
	// resultDenied was refused: the policy was not granted the kind, or the user may not see it.
	resultDenied result = "denied"
	// resultFailed had no answer.
	resultFailed result = "failed"
)

// stopReason is why a cache stopped. The set is closed.
type stopReason string

// The reasons.
const (
	// stopIdle is because nothing used it.
	stopIdle stopReason = "idle"
	// stopEvicted is because another needed its memory or its place.
	stopEvicted stopReason = "evicted"
	// stopTooLarge is because it does not fit into the memory for all caches.
	stopTooLarge stopReason = "too_large"
	// stopFailed is because the server refused the list, or the kind is gone.
	stopFailed stopReason = "failed"
)

// Recorder takes notes of looks at the cluster. Implementations are safe for concurrent
// use and fast: they are called while a guest waits.
type Recorder interface {
	// CountLook says what became of a look: one of the operations, or "inventory".
	CountLook(operation string, result string)
	// SetCaches says how many caches there are now and how many bytes they hold together.
	SetCaches(count int, bytes int64)
	// CountCacheStop says that a cache stopped.
	CountCacheStop(reason string)
}

// discard is a Recorder that forgets everything.
type discard struct{}

func (discard) CountLook(string, string) {}
func (discard) SetCaches(int, int64)     {}
func (discard) CountCacheStop(string)    {}
