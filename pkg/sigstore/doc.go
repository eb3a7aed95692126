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

// Package sigstore verifies signatures with the libraries of the Sigstore project. It implements
// [verification.Checker], and holds the trust root for certificates. No other package links these
// libraries. Programs that verify signatures pass this package in.
//
// The package also does what the libraries leave to their callers. It checks that the requested key
// signed, whatever the bundle says about keys. It checks that a statement is a signature and not an
// attestation, and that it is about the artifact. It checks that both places of an issuer agree. It
// bounds its input, and a panic fails one candidate instead of the process.
package sigstore
