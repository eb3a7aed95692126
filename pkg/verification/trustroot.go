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

// RootSource is the origin of a trust root. The set is closed.
type RootSource string

// The origins.
const (
	// RootEmbedded is the copy embedded in the program.
	RootEmbedded RootSource = "embedded"
	// RootCached is a copy saved by this program or an earlier run of it.
	RootCached RootSource = "cached"
	// RootTUF is the TUF repository of the public Sigstore.
	RootTUF RootSource = "tuf"
	// RootFile is a file named in the configuration.
	RootFile RootSource = "file"
)

// RootOptions receive notifications from the holder of a trust root. All fields are optional.
type RootOptions struct {
	// Changed is called after the trust root was replaced, unless a [Refresher] was asked to do it.
	// It may be called from any goroutine, and must not block.
	Changed func()
	// Recorder records metrics. Nil discards them.
	Recorder RootRecorder
}

// RootRecorder records metrics of trust roots. Implementations are safe for concurrent use.
type RootRecorder interface {
	// SetTrustRoot sets the origin of the root in use, and the time at which it was known to be the
	// newest. For a file, that is the file's modification time.
	SetTrustRoot(source string, since time.Time)
}

// Refresher is a [Checker] with a trust root in a file.
type Refresher interface {
	Checker
	// Refresh reads the file. From then on, certificates are verified against its content. The hash
	// is a digest of the content, in hexadecimal digits. An error says why the content cannot be
	// used, and the root in use stays. Calls must not overlap.
	Refresh() (hash string, err error)
}
