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

// result is the outcome of a read from the cluster. The set is closed.
type result string

// The results.
const (
	// resultCached was answered from a cache.
	resultCached result = "cached"
	// resultAsked was answered by the server, or after a cache was filled.
	resultAsked result = "asked"
	// resultDenied was refused: the policy was not granted the kind, or the user may not read it.
	resultDenied result = "denied"
	// resultFailed got no answer.
	resultFailed result = "failed"
)

// stopReason is the reason why a cache stopped. The set is closed.
type stopReason string

// The reasons.
const (
	// stopIdle means that nothing used the cache.
	stopIdle stopReason = "idle"
	// stopEvicted means that another cache needed its memory or its place.
	stopEvicted stopReason = "evicted"
	// stopTooLarge means that the cache exceeds the memory for all caches.
	stopTooLarge stopReason = "too_large"
	// stopFailed means that the server refused the list, or that the kind is gone.
	stopFailed stopReason = "failed"
)

// Recorder records metrics of reads from the cluster. Implementations are safe for concurrent use
// and fast, because a guest waits during the calls.
type Recorder interface {
	// CountLook counts a read by operation and result. The operation may also be "inventory".
	CountLook(operation string, result string)
	// SetCaches sets the number of caches and their total size in bytes.
	SetCaches(count int, bytes int64)
	// CountCacheStop counts a stopped cache.
	CountCacheStop(reason string)
}

// discard is a Recorder that forgets everything.
type discard struct{}

func (discard) CountLook(string, string) {}
func (discard) SetCaches(int, int64)     {}
func (discard) CountCacheStop(string)    {}
