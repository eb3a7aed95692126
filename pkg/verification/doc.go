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

// Package verification decides whether an artifact has the signatures that a configuration demands.
// The artifact is a policy's module, or an image that a policy asks about. It finds signatures in
// both of cosign's formats, and decides whether their signers are acceptable. The caller provides a
// [Checker], which verifies signatures cryptographically (package sigstore).
package verification

import "errors"

// ErrNoTrustRoot says that certificates cannot be verified, because there is no trust root.
var ErrNoTrustRoot = errors.New("there is no trust root")
