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
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Checker is a [verification.Checker].
type Checker struct {
	current func() *Root
}

var _ verification.Checker = &Checker{}

// New returns a checker that verifies certificates against what current returns at the time, which may be nil: then there
// is no trust root, and keys alone can be verified, as with a nil function. It is called for each candidate, and
// concurrently.
func New(current func() *Root) *Checker {
	if current == nil {
		current = func() *Root { return nil }
	}
	return &Checker{current: current}
}

// TrustRoot implements [verification.Checker].
func (c *Checker) TrustRoot() string {
	if r := c.current(); r != nil {
		return r.Digest()
	}
	return ""
}

// Key implements [verification.Checker]. Of RSA both paddings are accepted, of P-384 and P-521 the hash that goes with them
// and SHA-256, of Ed25519 the plain and the prehashed form. A bundle with a certificate is refused, as cosign does.
func (c *Checker) Key(ctx context.Context, candidate *verification.Candidate, artifact verification.Artifact, key []byte) (signed *verification.Signed, err error) {
	defer guard(&signed, &err)
	parsed, err := parseKey(key)
	if err != nil {
		return nil, wrap("the key cannot be read", err)
	}
	e, digest, err := begin(ctx, bare(candidate, false), artifact)
	if err != nil {
		return nil, err
	}
	if e.payload == nil && e.content.Certificate() != nil {
		return nil, errors.New("the bundle is signed by a certificate, not by a key")
	}
	// The library would prefer a certificate to the key.
	e.content = &withoutCertificate{}
	material, way, err := onlyKey(parsed, e.digestOnly(artifact))
	if err != nil {
		return nil, err
	}
	signed, err = e.verify(artifact, digest, material, verify.WithNoObserverTimestamps())
	if err != nil && way.refused {
		return nil, errForeignKey
	}
	return signed, err
}

// Keyless implements [verification.Checker]. What the trust root has is demanded: an entry of one of its logs if it has
// any, else a timestamp; and a certificate that one of its logs of certificates has seen, if it has any.
func (c *Checker) Keyless(ctx context.Context, candidate *verification.Candidate, artifact verification.Artifact) (signed *verification.Signed, err error) {
	defer guard(&signed, &err)
	trusted := c.current()
	if trusted == nil {
		return nil, fmt.Errorf("a certificate cannot be verified: %w", verification.ErrNoTrustRoot)
	}
	e, digest, err := begin(ctx, candidate, artifact)
	if err != nil {
		return nil, err
	}
	leaf := e.content.Certificate()
	if leaf == nil {
		return nil, errors.New("it is signed by a key, not by a certificate")
	}
	options := observers(trusted.material)
	if len(trusted.material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	signed, err = e.verify(artifact, digest, trusted.material, options...)
	if err != nil {
		return nil, err
	}
	signed.Identity, err = identity(leaf)
	if err != nil {
		return nil, err
	}
	return signed, nil
}

// Certificate implements [verification.Checker]. The certificate has to be for signing code, and has to be valid: if rekor
// is set when the log says that it signed, else now. The identity is nil: who made the certificate may write into it
// whatever they like. It wraps [verification.ErrNoTrustRoot] only if rekor is set.
func (c *Checker) Certificate(
	ctx context.Context, candidate *verification.Candidate, artifact verification.Artifact, certificate []byte, chain [][]byte, rekor bool,
) (signed *verification.Signed, err error) {
	defer guard(&signed, &err)
	trusted := c.current()
	if rekor && (trusted == nil || len(trusted.material.RekorLogs()) == 0) {
		return nil, fmt.Errorf("the log that must have an entry is not known: %w", verification.ErrNoTrustRoot)
	}
	authority, leaf, err := parseChain(certificate, chain)
	if err != nil {
		return nil, err
	}
	e, digest, err := begin(ctx, bare(candidate, rekor), artifact)
	if err != nil {
		return nil, err
	}
	if own := e.content.Certificate(); e.payload == nil && own != nil && !own.Equal(leaf) {
		return nil, errors.New("the bundle is signed by another certificate")
	}
	e.content = &givenCertificate{VerificationContent: bundle.NewCertificate(leaf)}
	material := &certificateMaterial{authority: authority}
	if !rekor {
		return e.verify(artifact, digest, material, verify.WithCurrentTime())
	}
	material.logs, material.timestamps = trusted.material.RekorLogs(), trusted.material.TimestampingAuthorities()
	return e.verify(artifact, digest, material, observers(material)...)
}

// bare leaves out what stands beside a payload and is not asked for: what it says, or that it cannot be read, must not
// matter then. Old entries of logs are of kinds that the library has given up.
func bare(candidate *verification.Candidate, withLog bool) *verification.Candidate {
	if len(candidate.Payload) == 0 {
		return candidate
	}
	c := &verification.Candidate{Place: candidate.Place, Bundle: candidate.Bundle, Payload: candidate.Payload, Signature: candidate.Signature}
	if withLog {
		c.RekorBundle = candidate.RekorBundle
	}
	return c
}

// begin reads what every check begins with.
func begin(ctx context.Context, candidate *verification.Candidate, artifact verification.Artifact) (*entity, []byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	digest, err := parseDigest(artifact)
	if err != nil {
		return nil, nil, err
	}
	e, err := read(candidate, artifact)
	return e, digest, err
}

// observers returns the options that demand that a log, or else a timestamp authority, has seen a signature.
func observers(material root.TrustedMaterial) []verify.VerifierOption {
	if len(material.RekorLogs()) == 0 {
		return []verify.VerifierOption{verify.WithSignedTimestamps(1)}
	}
	// Either's time counts: entries of Rekor v2 have none, and come with a timestamp.
	return []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
}

// verify has the library verify an entity, and reads what it says.
func (e *entity) verify(artifact verification.Artifact, digest []byte, material root.TrustedMaterial, options ...verify.VerifierOption) (*verification.Signed, error) {
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return nil, err
	}
	// Who signed is for our caller to judge: the library's expressions of identities are not anchored.
	result, err := verifier.Verify(e, verify.NewPolicy(e.policy(artifact, digest), verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return nil, wrap("not verified", clearer(err))
	}
	annotations, err := e.claims(result.Statement, artifact)
	if err != nil {
		return nil, wrap("the signature is good, but", err)
	}
	return &verification.Signed{Annotations: annotations}, nil
}

// guard makes a panic an error: libraries parse what hostile people wrote.
func guard(signed **verification.Signed, err *error) {
	if cause := recover(); cause != nil {
		klog.Background().Error(nil, "A signature made the library that reads it panic; it is refused", "cause", oneLine(fmt.Sprint(cause)), "stack", string(debug.Stack()))
		*signed, *err = nil, wrap("it makes the library panic", fmt.Errorf("%v", cause))
	}
	if *err != nil {
		*signed = nil
	}
}
