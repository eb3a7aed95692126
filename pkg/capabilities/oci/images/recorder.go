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

package images

// result is the outcome of a lookup. The set is closed.
type result string

// The results.
const (
	// resultCached was answered from the cache.
	resultCached result = "cached"
	// resultAsked was answered by the registry.
	resultAsked result = "asked"
	// resultStale was answered from an expired entry, because the registry did not answer.
	resultStale result = "stale"
	// resultDenied was refused: the registry is not listed, or the policy has too many lookups.
	resultDenied result = "denied"
	// resultFailed got no answer, or failed the verification. It may come from the cache.
	resultFailed result = "failed"
)

// Recorder records metrics of lookups. Implementations are safe for concurrent use and fast,
// because a guest waits during the calls.
type Recorder interface {
	// CountLook counts a lookup by operation and result.
	CountLook(operation, result string)
}

// discard is a Recorder that forgets everything.
type discard struct{}

func (discard) CountLook(string, string) {}
