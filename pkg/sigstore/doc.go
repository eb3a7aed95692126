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

// Package sigstore does what takes cryptography in verifying signatures, with the libraries of the Sigstore project: it is
// the [verification.Checker], and it holds the trust root that certificates are verified against. It is the only package
// that links these libraries, and whoever wants signatures verified hands it in.
//
// What the libraries leave to their callers is done here: that a key which was asked for has signed, whatever the bundle
// says of keys; that a statement is a signature rather than an attestation, and is about the artifact; that both places of
// an issuer agree; that input is bounded, and that a panic ends one candidate rather than the process.
package sigstore
