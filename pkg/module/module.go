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

// Package module fetches policy modules from files, OCI registries, and web servers. Command-line
// tools also use it to push modules to registries. The bytes that were checked are the bytes that
// are compiled: a module is read and hashed once, and afterwards only its bytes in memory count.
//
// The package asks a registry or a server for no more than it needs. If a reference has a digest,
// and the [Store] has that module, no network is needed. The package looks up a tag, and falls back
// to the last known module if nobody answers. It bounds the size and time of every download,
// compares it with the digests that led to it, and shows it to the [Verifier]. Only then does it
// keep and return the module.
package module

// Module is a policy's binary as it was read. It is immutable.
type Module struct {
	// Bytes are the binary.
	Bytes []byte
	// Digest is the SHA-256 digest of Bytes: "sha256:" and 64 hexadecimal digits.
	Digest string
	// Revision is the source's name for this state of the module: the digest of its manifest in a
	// registry or a layout, or the entity tag of a web server. It is empty if the state has no
	// name.
	Revision string

	// VerifiedBy is the identity of the verifier that accepted the module. Empty means none.
	VerifiedBy string
	// Proof is the evidence on which that verifier accepted the module. It is empty without a
	// verifier, or if it is too large to hold in memory.
	Proof Proof
}
