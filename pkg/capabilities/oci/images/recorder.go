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

// result is what became of a look at an image. The set is closed.
type result string

// The results.
const (
	// resultCached was answered from what is held.
	resultCached result = "cached"
	// resultAsked was answered by asking the registry.
	resultAsked result = "asked"
	// resultStale was answered from what is held for too long, since the registry does not answer.
	resultStale result = "stale"
	// resultDenied was refused: the registry is not named, or the policy has too many looks.
	resultDenied result = "denied"
	// resultFailed had no answer, or was not verified. It may be held, too.
	resultFailed result = "failed"
)

// Recorder takes notes of looks at images. Implementations are safe for concurrent use and
// fast: they are called while a guest waits.
type Recorder interface {
	// CountLook says what became of a look by one of the operations.
	CountLook(operation, result string)
}

// discard is a Recorder that forgets everything.
type discard struct{}

func (discard) CountLook(string, string) {}
