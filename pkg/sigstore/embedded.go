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

package sigstore

import (
	_ "embed"
	"time"
)

// The copy comes from the npm package @sigstore/tuf. The Sigstore project publishes this package
// with the content of its TUF repository at the time.
//
//go:generate ../../hack/update-trusted-root.sh
//go:embed embedded/trusted_root.json
var embeddedRoot []byte

// embeddedSince is the publication time of the package with the embedded copy.
var embeddedSince = time.Date(2026, time.November, 5, 0, 19, 12, 0, time.UTC)
