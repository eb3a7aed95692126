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

package verification

import "time"

// RootSource says where a trust root is from. The set is closed.
type RootSource string

// All sources.
const (
	// RootEmbedded is the copy that the program was built with.
	RootEmbedded RootSource = "embedded"
	// RootCached is a copy that this program, or an earlier run of it, has kept.
	RootCached RootSource = "cached"
	// RootTUF is the TUF repository of the public Sigstore.
	RootTUF RootSource = "tuf"
	// RootFile is a file that the configuration names.
	RootFile RootSource = "file"
)

// RootOptions are what the holder of a trust root tells others. All of it is optional.
type RootOptions struct {
	// Changed is called after certificates are verified against another root than before, if no
	// [Refresher] was asked to. It may be called from any goroutine, and must not wait.
	Changed func()
	// Recorder takes notes; nil discards them.
	Recorder RootRecorder
}

// RootRecorder takes notes of trust roots. Implementations are safe for concurrent use.
type RootRecorder interface {
	// SetTrustRoot says where the root in use is from, and when it was known to be the newest:
	// for a file, when that was written.
	SetTrustRoot(source string, since time.Time)
}

// Refresher is a [Checker] whose trust root is in a file.
type Refresher interface {
	Checker
	// Refresh reads the file, and has certificates verified against what is in it from then on.
	// The hash is of what is in the file, in hexadecimal digits. An error says why that cannot be
	// used; then the root in use stays. One call follows the other.
	Refresh() (hash string, err error)
}
