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

// Package module brings policy modules from where people keep them: files, OCI
// registries and web servers. Command lines push them to registries with it, too. What was checked is what is compiled: a module is
// read once, hashed, and from then on is its bytes.
//
// A registry or server is asked no more than is needed. What is named by a digest
// and is in the [Store] needs no network at all. A tag is looked up, and what it
// stood for last is used if nobody answers. Whatever comes in is bounded in size
// and time, compared with the digests that led to it, shown to the [Verifier], and
// only then kept and returned.
package module

// Module is a policy's binary as it was read. It is immutable.
type Module struct {
	// Bytes are the binary.
	Bytes []byte
	// Digest is their SHA-256, as "sha256:" and 64 hexadecimal digits.
	Digest string
	// Revision is what the source calls this state of the module: the digest of its
	// manifest in a registry, the entity tag of a web server. "" if it has no name.
	Revision string

	// VerifiedBy is the identity of the verifier that accepted it; "" means none.
	VerifiedBy string
	// Proof is what that verifier accepted it by. It is empty without one, and if it is too
	// large to be held.
	Proof Proof
}
