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

import "context"

// Candidate is something that was found beside an artifact and may be a signature of it. Whoever made it is hostile until
// a [Checker] has said otherwise. Exactly one of Bundle and Payload is set.
type Candidate struct {
	// Place names it for people: "layer 2 of sha256-….sig", "referrer sha256:…", "policy.wasm.sigstore.json".
	Place string

	// Bundle is a Sigstore bundle in JSON, as cosign 3 writes it.
	Bundle []byte

	// Payload is the document in cosign's simple signing format that Signature signs, as cosign 2 writes it in an image of
	// signatures.
	Payload []byte
	// Signature is the signature of Payload, decoded from base64.
	Signature []byte
	// Certificate and Chain are PEM, RekorBundle is JSON, as they stand in the annotations of the layer; empty if they do not.
	Certificate, Chain, RekorBundle []byte
}

// Signed is what a checker has found out about a candidate: all of it is covered by the signature.
type Signed struct {
	// Annotations are what was signed along: of the subject of a statement, or "optional" of a payload. Values that are no
	// strings are left out.
	Annotations map[string]string
	// Identity is the identity of whoever signed, nil for keys.
	Identity *CertificateIdentity
}

// CertificateIdentity is what Fulcio attests in a certificate.
type CertificateIdentity struct {
	// Issuer is that of the OIDC token. Where the certificate has it in both forms (1.3.6.1.4.1.57264.1.1 and .1.8) they
	// agree, or the candidate is refused.
	Issuer string
	// Subjects are the subject alternative names, e-mail addresses and URIs, in the order of the certificate. One at least.
	Subjects []string
	// SourceRepository is the URI of the repository of a workflow (1.3.6.1.4.1.57264.1.12, else owner/name of .1.5 on
	// github.com); "" if the certificate has none.
	SourceRepository string
}

// Artifact is what must have been signed.
type Artifact struct {
	// Digest is that of what is signed: of a manifest in a registry, or of a file: "sha256:" and 64 hexadecimal digits.
	Digest string
	// IsFile says that it is a file: a bundle has to sign the bytes themselves, rather than be a statement about a manifest.
	IsFile bool
	// Content are the bytes of a file, if the caller has them; nil for a manifest. Without them signatures by P-384, P-521
	// and Ed25519 of a file are refused: these sign other digests than SHA-256. The checker compares them with Digest.
	Content []byte
}

// Checker does what takes cryptography. It is safe for concurrent use, bounded in time and memory by the size of what it
// is given, and asks no network. An error says what is wrong with a candidate in one line; it wraps [ErrNoTrustRoot] if
// the checker has no trust root and would need one.
type Checker interface {
	// TrustRoot names by a digest what certificates are verified against; it changes when that changes. "" means that
	// there is none.
	TrustRoot() string
	// Key says whether a key, in PEM (PKIX), has signed an artifact by a candidate. No log and no time are demanded.
	Key(ctx context.Context, candidate *Candidate, artifact Artifact, key []byte) (*Signed, error)
	// Keyless says whether a candidate is a signature of an artifact by a certificate of the trust root, made while that
	// was valid, as a log or a timestamp authority of the trust root attests. By whom is for the caller to judge.
	Keyless(ctx context.Context, candidate *Candidate, artifact Artifact) (*Signed, error)
	// Certificate says whether a certificate has signed an artifact by a candidate. Certificate and chain are PEM or DER;
	// the chain's last certificate is trusted; without a chain the certificate is. Whether the log of the trust root must
	// have an entry is rekor.
	Certificate(ctx context.Context, candidate *Candidate, artifact Artifact, certificate []byte, chain [][]byte, rekor bool) (*Signed, error)
}
