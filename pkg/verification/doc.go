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

// Package verification decides whether what a policy is made of, or an image that a policy asks about, was signed by whom
// the configuration demands. It finds signatures, in both formats that cosign has written, and judges who signed; whether
// a signature is one is for a [Checker] to say, which is handed in (package sigstore).
package verification

import "errors"

// ErrNoTrustRoot says that certificates cannot be verified, because there is nothing to verify them against.
var ErrNoTrustRoot = errors.New("there is no trust root")
