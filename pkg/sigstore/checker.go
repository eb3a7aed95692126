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

// Checker implements [verification.Checker] with the Sigstore libraries.
type Checker struct {
	current func() *Root
}

var _ verification.Checker = &Checker{}

// New returns a checker that verifies certificates against the root that current returns. The
// checker calls current for each candidate, and concurrently. If current is nil or returns nil,
// there is no trust root, and only keys can be verified.
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

// Key implements [verification.Checker]. It accepts both paddings for RSA, the curve's own hash and
// SHA-256 for P-384 and P-521, and the plain and the prehashed form for Ed25519. It refuses a
// bundle with a certificate, as cosign does.
func (c *Checker) Key(ctx context.Context, candidate *verification.Candidate,
	artifact verification.Artifact, key []byte) (signed *verification.Signed, err error) {
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
	// The library would prefer the certificate to the key.
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

// Keyless implements [verification.Checker]. Its demands depend on the trust root. If the root has
// a transparency log, a log entry is required, and otherwise a timestamp. If the root has a
// certificate transparency log, such a log must have seen the certificate.
func (c *Checker) Keyless(ctx context.Context, candidate *verification.Candidate,
	artifact verification.Artifact) (signed *verification.Signed, err error) {
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

// Certificate implements [verification.Checker]. The certificate must be for code signing, and must
// be valid: with rekor, at the time in the log entry, and otherwise now. The returned identity is
// nil, because the issuer of the certificate can write any identity into it. The error wraps
// [verification.ErrNoTrustRoot] only if rekor is set.
func (c *Checker) Certificate(
	ctx context.Context, candidate *verification.Candidate, artifact verification.Artifact,
	certificate []byte, chain [][]byte, rekor bool,
) (signed *verification.Signed, err error) {
	defer guard(&signed, &err)
	trusted := c.current()
	if rekor && (trusted == nil || len(trusted.material.RekorLogs()) == 0) {
		return nil, fmt.Errorf("the log that must have an entry is not known: %w",
			verification.ErrNoTrustRoot)
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
	material.logs, material.timestamps = trusted.material.RekorLogs(),
		trusted.material.TimestampingAuthorities()
	return e.verify(artifact, digest, material, observers(material)...)
}

// bare removes the parts beside a payload that the check does not use, so that their content, or
// being unreadable, has no effect. Old log entries have kinds that the library no longer supports.
func bare(candidate *verification.Candidate, withLog bool) *verification.Candidate {
	if len(candidate.Payload) == 0 {
		return candidate
	}
	c := &verification.Candidate{
		Place:     candidate.Place,
		Bundle:    candidate.Bundle,
		Payload:   candidate.Payload,
		Signature: candidate.Signature,
	}
	if withLog {
		c.RekorBundle = candidate.RekorBundle
	}
	return c
}

// begin does the first steps of every check.
func begin(ctx context.Context, candidate *verification.Candidate,
	artifact verification.Artifact) (*entity, []byte, error) {
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

// observers returns the options that require a log entry, or a timestamp if there is no log.
func observers(material root.TrustedMaterial) []verify.VerifierOption {
	if len(material.RekorLogs()) == 0 {
		return []verify.VerifierOption{verify.WithSignedTimestamps(1)}
	}
	// Either time counts. Entries of Rekor v2 have no time, and come with a timestamp.
	return []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
}

// verify verifies an entity with the library, and checks its claims.
func (e *entity) verify(artifact verification.Artifact, digest []byte,
	material root.TrustedMaterial, options ...verify.VerifierOption) (*verification.Signed, error) {
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return nil, err
	}
	// The caller decides who may sign, because the library's identity patterns are not anchored.
	result, err := verifier.Verify(e,
		verify.NewPolicy(e.policy(artifact, digest), verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		return nil, wrap("not verified", clearer(err))
	}
	annotations, err := e.claims(result.Statement, artifact)
	if err != nil {
		return nil, wrap("the signature is good, but", err)
	}
	return &verification.Signed{Annotations: annotations}, nil
}

// guard turns a panic into an error, because the libraries parse hostile input.
func guard(signed **verification.Signed, err *error) {
	if cause := recover(); cause != nil {
		klog.Background().Error(nil, "A signature made the library panic and is refused",
			"cause", oneLine(fmt.Sprint(cause)), "stack", string(debug.Stack()))
		*signed, *err = nil, wrap("it makes the library panic", fmt.Errorf("%v", cause))
	}
	if *err != nil {
		*signed = nil
	}
}
