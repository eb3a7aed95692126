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
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// tamperCase is a candidate that must be refused, with part of the expected error.
type tamperCase struct {
	name, want string
	refuse     func() (*verification.Signed, error)
}

// table holds the material for the cases.
type table struct {
	t       testing.TB
	forge   *forge
	checker *Checker
	key     crypto.Signer
	cases   []tamperCase
}

func (x *table) add(name, want string, refuse func() (*verification.Signed, error)) {
	x.cases = append(x.cases, tamperCase{name, want, refuse})
}

// byKey adds a case for a key. A nil key stands for x.key.
func (x *table) byKey(name, want string, c *verification.Candidate, artifact verification.Artifact,
	key []byte) {
	if key == nil {
		key = publicPEM(x.t, x.key)
	}
	x.add("key: "+name, want, func() (*verification.Signed, error) {
		return x.checker.Key(x.t.Context(), c, artifact, key)
	})
}

func (x *table) keyless(name, want string, c *verification.Candidate) {
	x.add("keyless: "+name, want, func() (*verification.Signed, error) {
		return x.checker.Keyless(x.t.Context(), c, image)
	})
}

// changed returns a bundle that was modified after signing.
func (x *table) changed(b *protobundle.Bundle,
	change func(*protobundle.Bundle)) *verification.Candidate {
	b = proto.Clone(b).(*protobundle.Bundle)
	change(b)
	return candidate(x.t, b)
}

// flip changes a byte in the middle.
func flip(content []byte) []byte {
	changed := append([]byte(nil), content...)
	changed[len(changed)/2] ^= 1
	return changed
}

func TestTampered(t *testing.T) {
	f := newForge(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	x := &table{t: t, forge: f, checker: f.checker(t), key: key}
	x.payloads()
	x.keys()
	x.statements()
	x.bundles()
	x.files()
	x.certificates()
	x.logs()
	x.timestamps()
	x.annotations()
	x.given()
	accepted := 0
	for _, c := range x.cases {
		t.Run(c.name, func(t *testing.T) {
			signed, err := c.refuse()
			if err == nil {
				accepted++
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			require.Nil(t, signed)
		})
	}
	t.Logf("figure tamper_cases_cryptography %d count", len(x.cases))
	t.Logf("figure tamper_accepted_cryptography %d count", accepted)
	require.GreaterOrEqual(t, len(x.cases), 60)
}

// payload returns a candidate in the old format, signed by x.key.
func (x *table) payload(content []byte) *verification.Candidate {
	return &verification.Candidate{Payload: content, Signature: sign(x.t, x.key, content)}
}

func (x *table) payloads() {
	good := simpleSigning(x.t, image.Digest, map[string]any{"env": "test"})
	signed := sign(x.t, x.key, good)
	_, err := x.checker.Key(x.t.Context(),
		&verification.Candidate{Payload: good, Signature: signed}, image, publicPEM(x.t, x.key))
	require.NoError(x.t, err, "what is tampered with is good before")

	x.byKey("payload of another artifact", "about another artifact",
		x.payload(simpleSigning(x.t, digestOf("another"), nil)), image, nil)
	x.byKey("payload without digest", "about another artifact",
		x.payload(simpleSigning(x.t, "", nil)), image, nil)
	x.byKey("payload with the digest in capitals", "about another artifact",
		x.payload(simpleSigning(x.t, "SHA256:"+image.Digest[7:], nil)), image, nil)
	x.byKey("payload changed", "not signed this",
		&verification.Candidate{Payload: flip(good), Signature: signed}, image, nil)
	x.byKey("annotation changed", "not signed this",
		&verification.Candidate{
			Payload:   simpleSigning(x.t, image.Digest, map[string]any{"env": "prod"}),
			Signature: signed,
		}, image, nil)
	x.byKey("payload of another type", "not a \"cosign container image signature\"",
		x.payload(
			[]byte(
				`{"critical":{"type":"atomic container signature","image":{"docker-manifest-digest":"`+
					image.Digest+`"}}}`)),
		image, nil)
	x.byKey("payload that is no JSON", "cannot be read", x.payload([]byte(`critical`)), image, nil)
	x.byKey("payload with something behind", "cannot be read", x.payload(append(good, '{')), image,
		nil)
	x.byKey("payload too large", "at most 65536",
		&verification.Candidate{Payload: make([]byte, MaxPayloadBytes+1), Signature: signed}, image,
		nil)
	x.byKey("payload for a file", "not a file", x.payload(good),
		verification.Artifact{Digest: image.Digest, IsFile: true}, nil)
	x.byKey("payload and bundle", "rather than one",
		&verification.Candidate{Payload: good, Signature: signed, Bundle: []byte("{}")}, image, nil)
	x.byKey("nothing", "neither", &verification.Candidate{}, image, nil)
	x.byKey("signature missing", "no signature", &verification.Candidate{Payload: good}, image, nil)
	x.byKey("signature changed", "not signed this",
		&verification.Candidate{Payload: good, Signature: flip(signed)}, image, nil)
	x.byKey("signature cut", "not signed this",
		&verification.Candidate{Payload: good, Signature: signed[:len(signed)-1]}, image, nil)
	x.byKey("signature too large", "at most 2048",
		&verification.Candidate{Payload: good, Signature: make([]byte, MaxSignatureBytes+1)}, image,
		nil)
	x.byKey("signature of zeros", "not signed this",
		&verification.Candidate{Payload: good, Signature: []byte{0x30, 6, 2, 1, 0, 2, 1, 0}}, image,
		nil)
	x.byKey("digest in capitals", "lower case", x.payload(good),
		verification.Artifact{Digest: "sha256:" + "ABCDEF" + image.Digest[13:]}, nil)
	x.byKey("digest of another algorithm", "64 hexadecimal", x.payload(good),
		verification.Artifact{Digest: "sha512:" + image.Digest[7:]}, nil)
	x.byKey("image with content", "is a file", x.payload(good),
		verification.Artifact{Digest: image.Digest, Content: []byte("an image")}, nil)
}

func (x *table) keys() {
	good := simpleSigning(x.t, image.Digest, nil)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(x.t, err)
	odd, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(x.t, err)
	own := publicPEM(x.t, x.key)
	private, err := x509.MarshalPKCS8PrivateKey(x.key)
	require.NoError(x.t, err)
	x.byKey("foreign", "not signed this", x.payload(good), image,
		publicPEM(x.t, another(x.t, x.key)))
	x.byKey("of another kind", "not signed this", x.payload(good), image,
		publicPEM(x.t, another(x.t, ed25519.PrivateKey(nil))))
	x.byKey("too weak", "1024 bits", x.payload(good), image, publicPEM(x.t, small))
	x.byKey("on another curve", "P-224", x.payload(good), image, publicPEM(x.t, odd))
	x.byKey("two", "one key at a time", x.payload(good), image,
		append(publicPEM(x.t, another(x.t, x.key)), own...))
	x.byKey("private", "cannot be read", x.payload(good), image, pemOf("PRIVATE KEY", private))
	x.byKey("empty", "not in PEM", x.payload(good), image, []byte{})
	x.byKey("too large", "at most 16384", x.payload(good), image, make([]byte, MaxKeyBytes+1))
	x.byKey("garbage", "cannot be read", x.payload(good), image,
		pemOf("PUBLIC KEY", []byte("garbage")))
}

func (x *table) statements() {
	type object = map[string]any
	raw := func(subjects []any, kind, predicate string) *verification.Candidate {
		return candidate(x.t,
			envelope(x.t, x.key,
				mustJSON(x.t, object{
					"_type":         kind,
					"subject":       subjects,
					"predicateType": predicate,
					"predicate":     object{},
				})))
	}
	const v1 = "https://in-toto.io/Statement/v1"
	subject := object{"digest": object{"sha256": image.Digest[7:]}}
	x.byKey("attestation", "an attestation, not a signature",
		raw([]any{subject}, v1, "https://slsa.dev/provenance/v1"), image, nil)
	x.byKey("attestation of cosign", "an attestation, not a signature",
		raw([]any{subject}, v1, "https://cosign.sigstore.dev/attestation/v1"), image, nil)
	x.byKey("predicate type missing", "an attestation, not a signature",
		raw([]any{subject}, v1, ""), image, nil)
	x.byKey("predicate type with something behind", "an attestation, not a signature",
		raw([]any{subject}, v1, signaturePredicate+"/x"), image, nil)
	x.byKey("old statement", "has type",
		raw([]any{subject}, "https://in-toto.io/Statement/v0.1", signaturePredicate), image, nil)
	x.byKey("statement of another artifact", "",
		raw([]any{object{"digest": object{"sha256": digestOf("another")[7:]}}}, v1,
			signaturePredicate), image, nil)
	x.byKey("two subjects", "2 subjects",
		raw([]any{object{"digest": object{"sha256": digestOf("another")[7:]}}, subject}, v1,
			signaturePredicate), image, nil)
	x.byKey("no subject", "", raw(nil, v1, signaturePredicate), image, nil)
	x.byKey("subject without SHA-256", "",
		raw([]any{object{"digest": object{"sha512": image.Digest[7:]}}}, v1, signaturePredicate),
		image, nil)
	x.byKey("subject's key in capitals", "",
		raw([]any{object{"DIGEST": object{"sha256": image.Digest[7:]}}}, v1, signaturePredicate),
		image, nil)
	x.byKey("statement that is no JSON", "",
		candidate(x.t, envelope(x.t, x.key, []byte("statement"))), image, nil)
	large := statement(x.t, image.Digest, signaturePredicate,
		object{"a": strings.Repeat("a", MaxPayloadBytes)})
	x.byKey("statement too large", "at most 65536", candidate(x.t, envelope(x.t, x.key, large)),
		image, nil)
}

func (x *table) bundles() {
	b := envelope(x.t, x.key,
		statement(x.t, image.Digest, signaturePredicate, map[string]any{"env": "test"}))
	_, err := x.checker.Key(x.t.Context(), candidate(x.t, b), image, publicPEM(x.t, x.key))
	require.NoError(x.t, err, "what is tampered with is good before")
	prod := statement(x.t, image.Digest, signaturePredicate, map[string]any{"env": "prod"})
	leaf, _ := x.forge.leaf(x.t, request{key: x.key})
	whole := candidate(x.t, b).Bundle

	x.byKey("foreign key, bundle", "not signed this", candidate(x.t, b), image,
		publicPEM(x.t, another(x.t, x.key)))
	x.byKey("bundle of another artifact", "", candidate(x.t, b),
		verification.Artifact{Digest: digestOf("another")}, nil)
	x.byKey("annotation changed, bundle", "not signed this",
		x.changed(b, func(b *protobundle.Bundle) { b.GetDsseEnvelope().Payload = prod }), image,
		nil)
	x.byKey("type of payload changed", "not signed this",
		x.changed(b, func(b *protobundle.Bundle) {
			b.GetDsseEnvelope().PayloadType = "text/plain"
		}), image, nil)
	x.byKey("signature changed, bundle", "not signed this",
		x.changed(b, func(b *protobundle.Bundle) {
			s := b.GetDsseEnvelope().GetSignatures()[0]
			s.Sig = flip(s.GetSig())
		}), image, nil)
	x.byKey("two signatures", "exactly one signature", x.changed(b, func(b *protobundle.Bundle) {
		e := b.GetDsseEnvelope()
		e.Signatures = append(e.Signatures, e.GetSignatures()[0])
	}), image, nil)
	x.byKey("no signatures", "",
		x.changed(b, func(b *protobundle.Bundle) { b.GetDsseEnvelope().Signatures = nil }), image,
		nil)
	x.byKey("a certificate with the key", "by a certificate, not by a key",
		x.changed(b, func(b *protobundle.Bundle) { x.forge.certified(x.t, b, leaf, time.Now()) }),
		image, nil)
	x.byKey("unknown media type", "media type",
		x.changed(b, func(b *protobundle.Bundle) { b.MediaType = "application/json" }), image, nil)
	x.byKey("newer media type", "not yet supported",
		x.changed(b, func(b *protobundle.Bundle) {
			b.MediaType = "application/vnd.dev.sigstore.bundle.v0.4+json"
		}), image, nil)
	x.byKey("no content", "cannot be read",
		x.changed(b, func(b *protobundle.Bundle) { b.Content = nil }), image, nil)
	x.byKey("no material", "cannot be read",
		x.changed(b, func(b *protobundle.Bundle) { b.VerificationMaterial = nil }), image, nil)
	x.byKey("unknown field", "cannot be read",
		&verification.Candidate{Bundle: append([]byte(`{"a":1,`), whole[1:]...)}, image, nil)
	x.byKey("bundle cut", "cannot be read", &verification.Candidate{Bundle: whole[:len(whole)-1]},
		image, nil)
	x.byKey("bundle twice", "cannot be read",
		&verification.Candidate{Bundle: append(whole, whole...)}, image, nil)
	x.byKey("bundle too large", "at most 262144",
		&verification.Candidate{Bundle: make([]byte, MaxBundleBytes+1)}, image, nil)
	x.byKey("bundle of many parts", "at most 1024", &verification.Candidate{
		Bundle: []byte("[" + strings.Repeat("{},", maxBundleParts/2) + "{}]"),
	}, image, nil)
	x.byKey("bundle of a file", "signs a file",
		candidate(x.t, fileBundle(x.t, x.key, []byte("an image"))), image, nil)
	x.keyless("signed by a key", "by a key, not by a certificate", candidate(x.t, b))
}

func (x *table) files() {
	content := []byte("\x00asm")
	file := verification.Artifact{Digest: digestOf(string(content)), IsFile: true}
	whole := verification.Artifact{Digest: file.Digest, IsFile: true, Content: content}
	b := fileBundle(x.t, x.key, content)
	for _, artifact := range []verification.Artifact{file, whole} {
		_, err := x.checker.Key(x.t.Context(), candidate(x.t, b), artifact, publicPEM(x.t, x.key))
		require.NoError(x.t, err, "what is tampered with is good before")
	}
	other := sha256.Sum256([]byte("another"))
	x.byKey("file changed", "", candidate(x.t, b),
		verification.Artifact{Digest: digestOf("another"), IsFile: true}, nil)
	x.byKey("file changed, content", "not signed this", candidate(x.t, b),
		verification.Artifact{
			Digest:  digestOf("another"),
			IsFile:  true,
			Content: []byte("another"),
		}, nil)
	x.byKey("content is not the digest's", "not that of its digest", candidate(x.t, b),
		verification.Artifact{Digest: file.Digest, IsFile: true, Content: []byte("another")}, nil)
	x.byKey("digest in the bundle changed", "does not match",
		x.changed(b, func(b *protobundle.Bundle) {
			b.GetMessageSignature().MessageDigest.Digest = other[:]
		}), whole, nil)
	x.byKey("digest in the bundle changed to the file's", "not signed this",
		x.changed(b, func(b *protobundle.Bundle) {
			b.GetMessageSignature().MessageDigest.Digest = other[:]
		}), verification.Artifact{Digest: digestOf("another"), IsFile: true}, nil)
	none := func(b *protobundle.Bundle) { withoutDigest(b) }
	x.byKey("no digest in the bundle, by digest", "", x.changed(b, none), file, nil)
	x.byKey("no digest in the bundle, another file", "not signed this", x.changed(b, none),
		verification.Artifact{
			Digest:  digestOf("another"),
			IsFile:  true,
			Content: []byte("another"),
		}, nil)
	x.byKey("statement of a file", "not a signature of the file",
		candidate(x.t, envelope(x.t, x.key, statement(x.t, file.Digest, signaturePredicate, nil))),
		file, nil)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(x.t, err)
	// With a digest only, the library's verifier of plain Ed25519 verifies the empty message. A
	// signature of one empty file would then be valid for all files.
	empty := x.changed(fileBundle(x.t, edwards, nil), func(b *protobundle.Bundle) {
		sum := sha256.Sum256(content)
		b.GetMessageSignature().MessageDigest.Digest = sum[:]
	})
	x.byKey("Ed25519 of the empty file", "only be verified with the file's content", empty, file,
		publicPEM(x.t, edwards))
	x.byKey("Ed25519 of the empty file, content", "", empty, whole, publicPEM(x.t, edwards))
}
