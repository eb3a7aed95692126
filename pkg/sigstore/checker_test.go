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
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

var pss = options.WithRSAPSS(&rsa.PSSOptions{
	SaltLength: rsa.PSSSaltLengthEqualsHash,
	Hash:       crypto.SHA256,
})

// ways returns all ways in which a key may sign.
func ways(t testing.TB) map[string]struct {
	key     crypto.Signer
	options []signature.LoadOption
	// needsContent means that a signature of a file cannot be verified by the file's SHA-256 digest
	// alone.
	needsContent bool
} {
	t.Helper()
	elliptical := func(curve elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
		return key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	type way = struct {
		key          crypto.Signer
		options      []signature.LoadOption
		needsContent bool
	}
	sha := func(h crypto.Hash) []signature.LoadOption {
		return []signature.LoadOption{options.WithHash(h)}
	}
	return map[string]way{
		"RSA, PKCS #1":         {rsaKey, sha(crypto.SHA256), false},
		"RSA, PSS":             {rsaKey, append(sha(crypto.SHA256), pss), false},
		"P-256":                {elliptical(elliptic.P256()), sha(crypto.SHA256), false},
		"P-384 with SHA-384":   {elliptical(elliptic.P384()), sha(crypto.SHA384), true},
		"P-384 with SHA-256":   {elliptical(elliptic.P384()), sha(crypto.SHA256), false},
		"P-521 with SHA-512":   {elliptical(elliptic.P521()), sha(crypto.SHA512), true},
		"P-521 with SHA-256":   {elliptical(elliptic.P521()), sha(crypto.SHA256), false},
		"Ed25519":              {edwards, sha(crypto.SHA512), true},
		"Ed25519 of a prehash": {edwards, []signature.LoadOption{options.WithED25519ph()}, true},
	}
}

func TestKey(t *testing.T) {
	content := []byte("\x00asm")
	file := verification.Artifact{Digest: digestOf(string(content)), IsFile: true}
	whole := file
	whole.Content = content
	for name, way := range ways(t) {
		t.Run(name, func(t *testing.T) {
			checker, key := New(nil), publicPEM(t, way.key)
			foreign := publicPEM(t, another(t, way.key))
			payload := simpleSigning(t, image.Digest, map[string]any{"env": "prod", "count": 1})
			statement := statement(t, image.Digest, signaturePredicate,
				map[string]any{"env": "prod", "count": 1})
			for _, c := range []struct {
				name      string
				candidate *verification.Candidate
				artifact  verification.Artifact
			}{
				{"payload", &verification.Candidate{
					Payload:   payload,
					Signature: sign(t, way.key, payload, way.options...),
				}, image},
				{"bundle", candidate(t, envelope(t, way.key, statement, way.options...)), image},
				{"file", candidate(t, fileBundle(t, way.key, content, way.options...)), whole},
				{"file without digest",
					candidate(t, withoutDigest(fileBundle(t, way.key, content, way.options...))),
					whole},
				{"file by digest", candidate(t, fileBundle(t, way.key, content, way.options...)),
					file},
			} {
				signed, err := checker.Key(t.Context(), c.candidate, c.artifact, key)
				if c.name == "file by digest" && way.needsContent {
					require.Error(t, err, c.name)
					continue
				}
				require.NoError(t, err, c.name)
				require.Nil(t, signed.Identity)
				if !c.artifact.IsFile {
					require.Equal(t, map[string]string{"env": "prod"}, signed.Annotations)
				}
				_, err = checker.Key(t.Context(), c.candidate, c.artifact, foreign)
				require.ErrorContains(t, err, "the key has not signed this", c.name)
			}
		})
	}
}

// withoutDigest removes the digest, as cosign does for Ed25519.
func withoutDigest(b *protobundle.Bundle) *protobundle.Bundle {
	b.GetMessageSignature().MessageDigest = &protocommon.HashOutput{}
	return b
}

// another returns a new key of the same kind.
func another(t testing.TB, key crypto.Signer) crypto.Signer {
	t.Helper()
	var made crypto.Signer
	var err error
	switch key := key.(type) {
	case *rsa.PrivateKey:
		made, err = rsa.GenerateKey(rand.Reader, 2048)
	case *ecdsa.PrivateKey:
		made, err = ecdsa.GenerateKey(key.Curve, rand.Reader)
	default:
		_, made, err = ed25519.GenerateKey(rand.Reader)
	}
	require.NoError(t, err)
	return made
}

func TestKeyless(t *testing.T) {
	f := newForge(t)
	checker := f.checker(t)
	leaf, key := f.leaf(t, request{})
	content := []byte("\x00asm")
	file := verification.Artifact{Digest: digestOf(string(content)), IsFile: true}
	annotations := map[string]any{"env": "prod"}
	for _, c := range []struct {
		name      string
		candidate *verification.Candidate
		artifact  verification.Artifact
	}{
		{"bundle",
			candidate(t,
				f.certified(t,
					envelope(t, key, statement(t, image.Digest, signaturePredicate, annotations)),
					leaf, time.Now())), image},
		{"bundle with a timestamp",
			candidate(t,
				f.timestamped(t,
					f.certified(t,
						envelope(t, key,
							statement(t, image.Digest, signaturePredicate, annotations)), leaf,
						time.Now()))), image},
		{"annotations",
			f.annotated(t, leaf, key, simpleSigning(t, image.Digest, annotations), time.Now()),
			image},
		{"file", candidate(t, f.certified(t, fileBundle(t, key, content), leaf, time.Now())), file},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed, err := checker.Keyless(t.Context(), c.candidate, c.artifact)
			require.NoError(t, err)
			require.Equal(t, &verification.CertificateIdentity{
				Issuer:   testIssuer,
				Subjects: []string{testEmail},
			}, signed.Identity)
			if !c.artifact.IsFile {
				require.Equal(t, map[string]string{"env": "prod"}, signed.Annotations)
			}
			_, err = New(nil).Keyless(t.Context(), c.candidate, c.artifact)
			require.ErrorIs(t, err, verification.ErrNoTrustRoot)
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	f := newForge(t)
	leaf, key := f.leaf(t, request{})
	checker := f.checker(t)
	bundle := candidate(t,
		f.certified(t, envelope(t, key, statement(t, image.Digest, signaturePredicate, nil)), leaf,
			time.Now()))
	old := f.annotated(t, leaf, key, simpleSigning(t, image.Digest, nil), time.Now())
	byKey, public := candidate(t,
		envelope(t, key, statement(t, image.Digest, signaturePredicate, nil))), publicPEM(t, key)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			_, first := checker.Keyless(t.Context(), bundle, image)
			_, second := checker.Keyless(t.Context(), old, image)
			_, third := checker.Key(t.Context(), byKey, image, public)
			_, fourth := checker.Certificate(t.Context(), old, image, leaf.Raw, nil, true)
			return errors.Join(first, second, third, fourth)
		})
	}
	require.NoError(t, group.Wait())
}

func BenchmarkChecker(b *testing.B) {
	f := newForge(b)
	leaf, key := f.leaf(b, request{})
	checker, public := f.checker(b), publicPEM(b, key)
	bundle := candidate(b,
		f.certified(b, envelope(b, key, statement(b, image.Digest, signaturePredicate, nil)), leaf,
			time.Now()))
	byKey := candidate(b, envelope(b, key, statement(b, image.Digest, signaturePredicate, nil)))
	b.Run("keyless", func(b *testing.B) {
		for b.Loop() {
			_, err := checker.Keyless(b.Context(), bundle, image)
			require.NoError(b, err)
		}
	})
	b.Run("key", func(b *testing.B) {
		for b.Loop() {
			_, err := checker.Key(b.Context(), byKey, image, public)
			require.NoError(b, err)
		}
	})
}

// Rekor 2 entries have no time, and come with a timestamp. The library's test instance creates
// them, with certificates that no certificate transparency log has seen.
func TestRekor2(t *testing.T) {
	f := newForge(t)
	made, err := f.virtual.AttestHashedRekordV2(testEmail, testIssuer,
		statement(t, image.Digest, signaturePredicate, nil))
	require.NoError(t, err)
	good := bundleOf(t, made)
	parts := f.parts()
	parts.authorities, parts.ctLogs = f.virtual.FulcioCertificateAuthorities(), nil
	trusted := parts.root(t)
	checker := New(func() *Root { return trusted })
	signed, err := checker.Keyless(t.Context(), candidate(t, good), image)
	require.NoError(t, err)
	require.Equal(t, &verification.CertificateIdentity{
		Issuer:   testIssuer,
		Subjects: []string{testEmail},
	}, signed.Identity)

	for _, c := range []struct {
		name   string
		change func(*protobundle.Bundle)
	}{
		{"no timestamp", func(b *protobundle.Bundle) {
			b.VerificationMaterial.TimestampVerificationData = nil
		}},
		{"no entry", func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }},
		{"no proof", func(b *protobundle.Bundle) {
			b.VerificationMaterial.TlogEntries[0].InclusionProof = nil
		}},
		{"checkpoint changed", func(b *protobundle.Bundle) {
			checkpoint := b.VerificationMaterial.TlogEntries[0].InclusionProof.Checkpoint
			checkpoint.Envelope = string(flip([]byte(checkpoint.GetEnvelope())))
		}},
		{"index changed", func(b *protobundle.Bundle) {
			b.VerificationMaterial.TlogEntries[0].LogIndex++
		}},
		{"another log", func(b *protobundle.Bundle) {
			id := b.VerificationMaterial.TlogEntries[0].LogId
			id.KeyId = flip(id.GetKeyId())
		}},
		{"statement changed", func(b *protobundle.Bundle) {
			b.GetDsseEnvelope().Payload = statement(t, image.Digest, signaturePredicate,
				map[string]any{"env": "prod"})
		}},
		{"signature changed", func(b *protobundle.Bundle) {
			s := b.GetDsseEnvelope().GetSignatures()[0]
			s.Sig = flip(s.GetSig())
		}},
		{"entry of another", func(b *protobundle.Bundle) {
			other, err := f.virtual.AttestHashedRekordV2(testEmail, testIssuer,
				statement(t, image.Digest, signaturePredicate, nil))
			require.NoError(t, err)
			b.VerificationMaterial.TlogEntries = bundleOf(t, other).VerificationMaterial.TlogEntries
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := proto.Clone(good).(*protobundle.Bundle)
			c.change(b)
			_, err := checker.Keyless(t.Context(), candidate(t, b), image)
			require.Error(t, err)
		})
	}
}

// bundleOf converts an entity of the library's test instance into a bundle.
func bundleOf(t testing.TB, made verify.SignedEntity) *protobundle.Bundle {
	t.Helper()
	content, err := made.VerificationContent()
	require.NoError(t, err)
	signature, err := made.SignatureContent()
	require.NoError(t, err)
	entries, err := made.TlogEntries()
	require.NoError(t, err)
	timestamps, err := made.Timestamps()
	require.NoError(t, err)
	raw := signature.EnvelopeContent().RawEnvelope()
	payload, err := raw.DecodeB64Payload()
	require.NoError(t, err)
	return &protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: raw.PayloadType,
			Signatures: []*protodsse.Signature{{Sig: signature.Signature()}},
		}},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{
				Certificate: &protocommon.X509Certificate{RawBytes: content.Certificate().Raw},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{
				entries[0].TransparencyLogEntry(),
			},
			TimestampVerificationData: &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: timestamps[0]}},
			},
		},
	}
}
