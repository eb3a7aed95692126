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
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	content, err := json.Marshal(v)
	require.NoError(t, err)
	return content
}

// signedBy returns a bundle signed with the requested certificate, and with a current log entry.
func (x *table) signedBy(r request, at time.Time) *protobundle.Bundle {
	leaf, key := x.forge.leaf(x.t, r)
	return x.forge.certified(x.t,
		envelope(x.t, key, statement(x.t, image.Digest, signaturePredicate, nil)), leaf, at)
}

func (x *table) certificates() {
	now := time.Now()
	_, err := x.checker.Keyless(x.t.Context(), candidate(x.t, x.signedBy(request{}, now)), image)
	require.NoError(x.t, err, "what is tampered with is good before")
	foreignTop, foreignTopKey, err := ca.GenerateRootCa()
	require.NoError(x.t, err)
	foreign, foreignKey, err := ca.GenerateFulcioIntermediate(foreignTop, foreignTopKey)
	require.NoError(x.t, err)

	x.keyless("certificate of another authority", "leaf certificate",
		candidate(x.t, x.signedBy(request{authority: foreign, authorityKey: foreignKey}, now)))
	x.keyless("signed after the certificate expired", "validity",
		candidate(x.t, x.signedBy(request{notBefore: now.Add(-time.Hour)}, now)))
	x.keyless("signed before the certificate was valid", "validity",
		candidate(x.t, x.signedBy(request{notBefore: now.Add(5 * time.Minute)}, now)))
	x.keyless("certificate that no log has seen", "SCT",
		candidate(x.t, x.signedBy(request{withoutLog: true}, now)))
	x.keyless("certificate that a foreign log has seen", "SCT",
		candidate(x.t, x.signedBy(request{foreignLog: true}, now)))
	x.keyless("certificate of a server", "leaf certificate",
		candidate(x.t,
			x.signedBy(request{usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, now)))
	x.keyless("two issuers", "names two issuers",
		candidate(x.t,
			x.signedBy(request{
				issuerV1: "https://a.example.com",
				issuerV2: "https://b.example.com",
			}, now)))
	x.keyless("no names", "", candidate(x.t, x.signedBy(request{names: []asn1.RawValue{}}, now)))
	x.keyless("name of a host", "",
		candidate(x.t, x.signedBy(request{names: []asn1.RawValue{name(2, "example.com")}}, now)))
	x.keyless("unknown critical extension", "leaf certificate",
		candidate(x.t,
			x.signedBy(request{
				extensions: []pkix.Extension{{
					Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0},
				}},
			}, now)))
	x.keyless("attestation", "an attestation, not a signature", func() *verification.Candidate {
		leaf, key := x.forge.leaf(x.t, request{})
		return candidate(x.t,
			x.forge.certified(x.t,
				envelope(x.t, key,
					statement(x.t, image.Digest, "https://slsa.dev/provenance/v1", nil)), leaf,
				now))
	}())
	x.keyless("another artifact", "", func() *verification.Candidate {
		leaf, key := x.forge.leaf(x.t, request{})
		return candidate(x.t,
			x.forge.certified(x.t,
				envelope(x.t, key, statement(x.t, digestOf("another"), signaturePredicate, nil)),
				leaf, now))
	}())
	// The certificate has the same key, but was issued for another identity.
	x.keyless("certificate exchanged", "does not match", func() *verification.Candidate {
		leaf, key := x.forge.leaf(x.t, request{})
		b := x.forge.certified(x.t,
			envelope(x.t, key, statement(x.t, image.Digest, signaturePredicate, nil)), leaf, now)
		other, _ := x.forge.leaf(x.t,
			request{key: key, names: []asn1.RawValue{name(1, "boss@example.com")}})
		return x.changed(b, func(b *protobundle.Bundle) {
			b.VerificationMaterial.GetCertificate().RawBytes = other.Raw
		})
	}())
	x.add("keyless: trust root of others", "", func() (*verification.Signed, error) {
		return newForge(x.t).checker(x.t).
			Keyless(x.t.Context(), candidate(x.t, x.signedBy(request{}, now)), image)
	})
	x.add("keyless: no trust root", "no trust root", func() (*verification.Signed, error) {
		return New(nil).Keyless(x.t.Context(), candidate(x.t, x.signedBy(request{}, now)), image)
	})
}

func (x *table) logs() {
	b, other := x.signedBy(request{}, time.Now()), x.signedBy(request{}, time.Now())
	foreign := &table{t: x.t, forge: newForge(x.t)}
	entry := func(name, want string, change func(*protorekor.TransparencyLogEntry)) {
		x.keyless("log: "+name, want,
			x.changed(b, func(b *protobundle.Bundle) {
				change(b.VerificationMaterial.GetTlogEntries()[0])
			}))
	}
	entry("signed time changed", "", func(e *protorekor.TransparencyLogEntry) {
		e.IntegratedTime++
	})
	entry("no time", "", func(e *protorekor.TransparencyLogEntry) { e.IntegratedTime = 0 })
	entry("index changed", "", func(e *protorekor.TransparencyLogEntry) { e.LogIndex++ })
	entry("signature changed", "", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionPromise.SignedEntryTimestamp = flip(e.InclusionPromise.SignedEntryTimestamp)
	})
	entry("promise missing", "", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionPromise = nil
	})
	entry("proof missing", "inclusion proof missing", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionProof = nil
	})
	entry("root hash changed", "", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionProof.RootHash = flip(e.InclusionProof.RootHash)
	})
	entry("tree grown", "", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionProof.TreeSize = 9
	})
	entry("checkpoint missing", "checkpoint", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionProof.Checkpoint = nil
	})
	entry("checkpoint changed", "", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionProof.Checkpoint.Envelope = "log - 1\n9\nAAAA\n\n— log AAAA\n"
	})
	entry("body changed", "", func(e *protorekor.TransparencyLogEntry) {
		e.CanonicalizedBody = flip(e.CanonicalizedBody)
	})
	entry("body of a proposal", "of a proposal", func(e *protorekor.TransparencyLogEntry) {
		e.CanonicalizedBody =
			[]byte(`{"kind":"dsse","apiVersion":"0.0.1","spec":{"ProposedContent":{}}}`)
	})
	entry("body of a proposal, escaped", "canonical form",
		func(e *protorekor.TransparencyLogEntry) {
			e.CanonicalizedBody = []byte(`{"kind":"dsse","apiVersion":"0.0.1","spec":{"propose` +
				`\u0064Content":{}}}`)
		})
	entry("body of a proposal, in letters that fold", "canonical form",
		func(e *protorekor.TransparencyLogEntry) {
			e.CanonicalizedBody =
				[]byte(`{"kind":"dsse","apiVersion":"0.0.1","spec":{"propoſedContent":{}}}`)
		})
	entry("body with a name twice", "twice", func(e *protorekor.TransparencyLogEntry) {
		e.CanonicalizedBody = []byte(
			`{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{"signature":{},"Signature":{}}}`)
	})
	entry("body with something behind", "canonical form", func(e *protorekor.TransparencyLogEntry) {
		e.CanonicalizedBody = append(e.CanonicalizedBody, "{}"...)
	})
	entry("body nested too deep", "nested", func(e *protorekor.TransparencyLogEntry) {
		e.CanonicalizedBody = []byte(strings.Repeat("[", maxLogBodyDepth+1) +
			strings.Repeat("]", maxLogBodyDepth+1))
	})
	entry("body with an RSA key too large", "8193 bits", func(e *protorekor.TransparencyLogEntry) {
		modulus := new(big.Int).Lsh(big.NewInt(1), verification.MaxRSABits)
		der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{
			N: modulus.SetBit(modulus, 0, 1),
			E: 65537,
		})
		require.NoError(x.t, err)
		e.CanonicalizedBody = mustJSON(x.t,
			map[string]any{"kind": "hashedrekord", "apiVersion": "0.0.1", "spec": map[string]any{
				"signature": map[string]any{
					"publicKey": map[string]any{"content": pemOf("PUBLIC KEY", der)},
				},
			}})
	})
	entry("body with a key in other base64", "canonical form",
		func(e *protorekor.TransparencyLogEntry) {
			e.CanonicalizedBody =
				[]byte(
					`{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{"signature":{"publicKey":{"content":"_-_"}}}}`)
		})
	entry("body too large", "at most 16384", func(e *protorekor.TransparencyLogEntry) {
		e.CanonicalizedBody = make([]byte, MaxLogBodyBytes+1)
	})
	entry("proof too long", "at most 64", func(e *protorekor.TransparencyLogEntry) {
		e.InclusionProof.Hashes = make([][]byte, MaxLogProofHashes+1)
	})
	entry("of another log", "", func(e *protorekor.TransparencyLogEntry) {
		e.LogId.KeyId = flip(e.LogId.KeyId)
	})
	x.keyless("log: entry missing", "not enough verified log entries",
		x.changed(b, func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }))
	x.keyless("log: entry missing, with a timestamp", "not enough verified log entries",
		x.changed(x.forge.timestamped(x.t, proto.Clone(b).(*protobundle.Bundle)),
			func(b *protobundle.Bundle) { b.VerificationMaterial.TlogEntries = nil }))
	x.keyless("log: entry of another signature", "does not match",
		x.changed(b, func(b *protobundle.Bundle) {
			b.VerificationMaterial.TlogEntries = other.VerificationMaterial.GetTlogEntries()
		}))
	x.keyless("log: entry twice", "duplicate", x.changed(b, func(b *protobundle.Bundle) {
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries,
			b.VerificationMaterial.TlogEntries[0])
	}))
	x.keyless("log: too many entries", "at most 4", x.changed(b, func(b *protobundle.Bundle) {
		b.VerificationMaterial.TlogEntries = make([]*protorekor.TransparencyLogEntry,
			MaxLogEntries+1)
		for i := range b.VerificationMaterial.TlogEntries {
			b.VerificationMaterial.TlogEntries[i] = &protorekor.TransparencyLogEntry{}
		}
	}))
	x.keyless("log: key of another log", "", func() *verification.Candidate {
		leaf, key := x.forge.leaf(x.t, request{})
		return candidate(x.t,
			foreign.forge.certified(x.t,
				envelope(x.t, key, statement(x.t, image.Digest, signaturePredicate, nil)), leaf,
				time.Now()))
	}())
}

func (x *table) timestamps() {
	parts := x.forge.parts()
	parts.logs = nil
	trusted := parts.root(x.t)
	checker := New(func() *Root { return trusted })
	b := x.signedBy(request{}, time.Now())
	b.VerificationMaterial.TlogEntries = nil
	good := x.forge.timestamped(x.t, proto.Clone(b).(*protobundle.Bundle))
	_, err := checker.Keyless(x.t.Context(), candidate(x.t, good), image)
	require.NoError(x.t, err, "what is tampered with is good before")
	add := func(name, want string, c *verification.Candidate) {
		x.add("timestamp: "+name, want, func() (*verification.Signed, error) {
			return checker.Keyless(x.t.Context(), c, image)
		})
	}
	token := func(b *protobundle.Bundle) *protocommon.RFC3161SignedTimestamp {
		return b.VerificationMaterial.TimestampVerificationData.GetRfc3161Timestamps()[0]
	}
	other := x.forge.timestamped(x.t, x.signedBy(request{}, time.Now()))
	add("missing", "timestamps: 0 < 1: there is none", candidate(x.t, b))
	add("of another signature", "threshold not met",
		x.changed(good, func(b *protobundle.Bundle) {
			token(b).SignedTimestamp = token(other).GetSignedTimestamp()
		}))
	add("changed", "threshold not met",
		x.changed(good, func(b *protobundle.Bundle) {
			token(b).SignedTimestamp = flip(token(b).GetSignedTimestamp())
		}))
	add("of another authority", "threshold not met",
		candidate(x.t, newForge(x.t).timestamped(x.t, proto.Clone(b).(*protobundle.Bundle))))
	add("too large", "at most 8192",
		x.changed(good, func(b *protobundle.Bundle) {
			token(b).SignedTimestamp = make([]byte, MaxTimestampBytes+1)
		}))
	add("nested too deep", "24 deep", x.changed(good, func(b *protobundle.Bundle) {
		nested := []byte{5, 0}
		for range maxTimestampDepth + 1 {
			nested = append([]byte{0x30, byte(len(nested))}, nested...)
		}
		token(b).SignedTimestamp = nested
	}))
	add("of indefinite length", "not DER",
		x.changed(good, func(b *protobundle.Bundle) {
			token(b).SignedTimestamp = []byte{0x30, 0x80, 0, 0}
		}))
	add("too many", "at most 4", x.changed(good, func(b *protobundle.Bundle) {
		data := b.VerificationMaterial.TimestampVerificationData
		for len(data.Rfc3161Timestamps) <= MaxTimestamps {
			data.Rfc3161Timestamps = append(data.Rfc3161Timestamps, token(b))
		}
	}))
	add("after the certificate expired", "leaf certificate", func() *verification.Candidate {
		leaf, key := x.forge.leaf(x.t, request{notBefore: time.Now().Add(-30 * time.Minute)})
		b := x.forge.certified(x.t,
			envelope(x.t, key, statement(x.t, image.Digest, signaturePredicate, nil)), leaf,
			time.Now().Add(-25*time.Minute))
		b.VerificationMaterial.TlogEntries = nil
		return candidate(x.t, x.forge.timestamped(x.t, b))
	}())
}

func (x *table) annotations() {
	leaf, key := x.forge.leaf(x.t, request{})
	payload := simpleSigning(x.t, image.Digest, nil)
	good := x.forge.annotated(x.t, leaf, key, payload, time.Now())
	_, err := x.checker.Keyless(x.t.Context(), good, image)
	require.NoError(x.t, err, "what is tampered with is good before")
	changed := func(name, want string, change func(*verification.Candidate)) {
		c := *good
		change(&c)
		x.keyless("annotations: "+name, want, &c)
	}
	otherLeaf, otherKey := x.forge.leaf(x.t,
		request{names: []asn1.RawValue{name(1, "boss@example.com")}})
	same, _ := x.forge.leaf(x.t,
		request{key: key, names: []asn1.RawValue{name(1, "boss@example.com")}})
	other := x.forge.annotated(x.t, otherLeaf, otherKey,
		simpleSigning(x.t, digestOf("another"), nil), time.Now())
	log := func(change func(*rekorBundle)) func(*verification.Candidate) {
		return func(c *verification.Candidate) {
			var b rekorBundle
			require.NoError(x.t, json.Unmarshal(c.RekorBundle, &b))
			change(&b)
			c.RekorBundle = mustJSON(x.t, b)
		}
	}
	changed("certificate missing", "not by a certificate", func(c *verification.Candidate) {
		c.Certificate = nil
	})
	changed("certificate of another", "does not match", func(c *verification.Candidate) {
		c.Certificate = other.Certificate
	})
	changed("certificate of another with the same key", "does not match",
		func(c *verification.Candidate) { c.Certificate = pemOf("CERTIFICATE", same.Raw) })
	changed("certificate that is none", "PEM", func(c *verification.Candidate) {
		c.Certificate = []byte("none")
	})
	changed("two certificates", "more than 1", func(c *verification.Candidate) {
		c.Certificate = append(c.Certificate, other.Certificate...)
	})
	changed("key for a certificate", "PUBLIC KEY", func(c *verification.Candidate) {
		c.Certificate = publicPEM(x.t, key)
	})
	changed("chain too long", "more than 10", func(c *verification.Candidate) {
		for range MaxChainCertificates {
			c.Chain = append(c.Chain, c.Certificate...)
		}
	})
	changed("log entry missing", "not enough verified log entries",
		func(c *verification.Candidate) { c.RekorBundle = nil })
	changed("log entry of another", "does not match", func(c *verification.Candidate) {
		c.RekorBundle = other.RekorBundle
	})
	changed("log entry that is none", "cannot be read", func(c *verification.Candidate) {
		c.RekorBundle = []byte("none")
	})
	changed("log entry too large", "at most", func(c *verification.Candidate) {
		c.RekorBundle = make([]byte, 2*MaxLogBodyBytes+1)
	})
	changed("time changed", "not enough verified log entries",
		log(func(b *rekorBundle) { b.Payload.IntegratedTime++ }))
	changed("index changed", "not enough verified log entries",
		log(func(b *rekorBundle) { b.Payload.LogIndex++ }))
	changed("log's signature changed", "not enough verified log entries",
		log(func(b *rekorBundle) { b.SignedEntryTimestamp = flip(b.SignedEntryTimestamp) }))
	changed("log's signature missing", "not signed",
		log(func(b *rekorBundle) { b.SignedEntryTimestamp = nil }))
	changed("another log", "not enough verified log entries",
		log(func(b *rekorBundle) { b.Payload.LogID = "00" + b.Payload.LogID[2:] }))
	changed("payload changed", "", func(c *verification.Candidate) {
		c.Payload = simpleSigning(x.t, image.Digest, map[string]any{"env": "prod"})
	})
	changed("payload and signature of another", "", func(c *verification.Candidate) {
		c.Payload, c.Signature = other.Payload, other.Signature
	})
	x.keyless("annotations: all of another", "about another artifact", other)
	// A candidate may include the authority that issued its certificate. This does not make the
	// authority trusted.
	foreign := newForge(x.t)
	foreignLeaf, foreignKey := foreign.leaf(x.t, request{})
	brought := x.forge.annotated(x.t, foreignLeaf, foreignKey, payload, time.Now())
	brought.Chain = append(pemOf("CERTIFICATE", foreign.authority.Raw),
		pemOf("CERTIFICATE", foreign.top.Raw)...)
	x.keyless("annotations: authority brought along", "leaf certificate", brought)
}

func (x *table) given() {
	leaf, key := x.forge.leaf(x.t, request{})
	payload := simpleSigning(x.t, image.Digest, nil)
	signed := x.forge.annotated(x.t, leaf, key, payload, time.Now())
	own, chain := pemOf("CERTIFICATE", leaf.Raw), [][]byte{x.forge.authority.Raw, x.forge.top.Raw}
	foreign := newForge(x.t)
	add := func(name, want string, c *verification.Candidate, certificate []byte, chain [][]byte,
		rekor bool) {
		x.add("certificate: "+name, want, func() (*verification.Signed, error) {
			return x.checker.Certificate(x.t.Context(), c, image, certificate, chain, rekor)
		})
	}
	otherLeaf, _ := x.forge.leaf(x.t, request{})
	expired, expiredKey := x.forge.leaf(x.t, request{notBefore: time.Now().Add(-time.Hour)})
	server, serverKey := x.forge.leaf(x.t,
		request{usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	unlogged := &verification.Candidate{Payload: payload, Signature: sign(x.t, key, payload)}
	add("of another", "", signed, pemOf("CERTIFICATE", otherLeaf.Raw), chain, false)
	add("chain of another", "leaf certificate", signed, own,
		[][]byte{foreign.authority.Raw, foreign.top.Raw}, false)
	add("chain too long", "at most 10", signed, own, make([][]byte, MaxChainCertificates+1), false)
	add("chain that is none", "certificate 1 of the chain", signed, own, [][]byte{[]byte("none")},
		false)
	add("expired", "leaf certificate",
		x.forge.annotated(x.t, expired, expiredKey, payload, time.Now()), expired.Raw, chain, false)
	add("expired when the log saw it", "validity",
		x.forge.annotated(x.t, expired, expiredKey, payload, time.Now()), expired.Raw, chain, true)
	add("of a server", "codeSigning",
		x.forge.annotated(x.t, server, serverKey, payload, time.Now()), server.Raw, chain, false)
	add("that no log has seen", "not enough verified log entries", unlogged, own, chain, true)
	add("other in the bundle", "by another certificate",
		candidate(x.t, x.signedBy(request{}, time.Now())), own, chain, false)
	add("that is none", "neither PEM nor DER", signed, []byte("none"), chain, false)
	x.add("certificate: no trust root for the log", "no trust root",
		func() (*verification.Signed, error) {
			return New(nil).Certificate(x.t.Context(), signed, image, own, chain, true)
		})
}
