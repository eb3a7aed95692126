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

package breakglass

import "time"

// The events that a [Recorder] counts.
const (
	eventBegun   = "begun"   // monitor mode begins
	eventEnded   = "ended"   // monitor mode ends
	eventRefused = "refused" // a file is not obeyed
)

// Recorder records what happens with a break-glass file.
type Recorder interface {
	// SetBreakGlassUntil records until when the file keeps policies in monitor mode. The zero time
	// means that it does not.
	SetBreakGlassUntil(until time.Time)
	// CountBreakGlass counts an event: "begun", "ended", or "refused".
	CountBreakGlass(event string)
}

// discard is a [Recorder] that does nothing.
type discard struct{}

func (discard) SetBreakGlassUntil(time.Time) {}
func (discard) CountBreakGlass(string)       {}
