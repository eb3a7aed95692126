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

// Candidate is a possible signature of an artifact. Its author counts as hostile until a [Checker]
// has verified it. Exactly one of Bundle and Payload is set.
type Candidate struct {
	// Place tells people where it was found: "layer 2 of sha256-….sig", "referrer sha256:…",
	// "policy.wasm.sigstore.json".
	Place string

	// Bundle is a Sigstore bundle in JSON, as cosign 3 writes it.
	Bundle []byte

	// Payload is the document that Signature signs, in cosign's simple signing format. cosign 2
	// stores it in a signature image.
	Payload []byte
	// Signature is the signature of Payload, decoded from base64.
	Signature []byte
	// Certificate and Chain are PEM, and RekorBundle is JSON, from the annotations of the layer.
	// They are empty if the annotations are missing.
	Certificate, Chain, RekorBundle []byte
}

// Signed holds a checker's findings about a candidate. The signature covers all of them.
type Signed struct {
	// Annotations are the signed annotations: those of a statement's subject, or "optional" of a
	// payload. Values that are not strings are omitted.
	Annotations map[string]string
	// Identity is the signer's identity. It is nil for keys.
	Identity *CertificateIdentity
}

// CertificateIdentity is the identity that Fulcio attests in a certificate.
type CertificateIdentity struct {
	// Issuer is the issuer of the OIDC token. If the certificate has it in both extensions
	// (1.3.6.1.4.1.57264.1.1 and .1.8), they must agree, or the candidate is refused.
	Issuer string
	// Subjects are the subject alternative names that are e-mail addresses or URIs, in the
	// certificate's order. There is at least one.
	Subjects []string
	// SourceRepository is the URI of a workflow's repository (1.3.6.1.4.1.57264.1.12, or else
	// owner/name from .1.5 on github.com). It is "" if the certificate has none.
	SourceRepository string
}

// Artifact is the object that must be signed.
type Artifact struct {
	// Digest is the digest of a manifest in a registry or of a file: "sha256:" and 64 hexadecimal
	// digits.
	Digest string
	// IsFile means that the artifact is a file. A bundle must then sign its bytes, and not be a
	// statement about a manifest.
	IsFile bool
	// Content is a file's content if the caller has it, and nil for a manifest. Without it,
	// signatures of a file by P-384, P-521 and Ed25519 are refused, because they do not sign the
	// SHA-256 digest. The checker compares Content with Digest.
	Content []byte
}

// Checker verifies signatures cryptographically. It is safe for concurrent use, needs time and
// memory only in proportion to its input, and uses no network. An error says in one line what is
// wrong with a candidate. It wraps [ErrNoTrustRoot] if the check needs a trust root and there is
// none.
type Checker interface {
	// TrustRoot returns a digest of the trust root for certificates, which changes with the root.
	// It is "" if there is no trust root.
	TrustRoot() string
	// Key verifies that a PEM (PKIX) key signed an artifact. It requires no log entry and no time.
	Key(ctx context.Context, candidate *Candidate, artifact Artifact, key []byte) (*Signed, error)
	// Keyless verifies that a certificate of the trust root signed an artifact. A log or a
	// timestamp authority of the trust root must attest that the certificate was valid at the time.
	// The caller decides whether the signer is acceptable.
	Keyless(ctx context.Context, candidate *Candidate, artifact Artifact) (*Signed, error)
	// Certificate verifies that a given certificate signed an artifact. Certificate and chain are
	// PEM or DER. The last certificate of the chain is trusted, or the certificate itself if there
	// is no chain. With rekor, an entry in a log of the trust root is required.
	Certificate(ctx context.Context, candidate *Candidate, artifact Artifact, certificate []byte,
		chain [][]byte, rekor bool) (*Signed, error)
}
