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
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

const intotoType = "application/vnd.in-toto+json"

// image is the artifact that the tests sign.
var image = verification.Artifact{Digest: digestOf("an image")}

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// statement returns the document that cosign 3 signs.
func statement(t testing.TB, digest, predicateType string, annotations map[string]any) []byte {
	t.Helper()
	subject := map[string]any{"digest": map[string]string{"sha256": digest[len("sha256:"):]}}
	if annotations != nil {
		subject["annotations"] = annotations
	}
	content, err := json.Marshal(map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": []any{subject},
		"predicateType": predicateType, "predicate": map[string]any{},
	})
	require.NoError(t, err)
	return content
}

// simpleSigning returns the document that cosign 2 signs.
func simpleSigning(t testing.TB, digest string, optional map[string]any) []byte {
	t.Helper()
	content, err := json.Marshal(map[string]any{
		"critical": map[string]any{
			"identity": map[string]string{"docker-reference": "registry.example.com/image"},
			"image":    map[string]string{"docker-manifest-digest": digest},
			"type":     "cosign container image signature",
		},
		"optional": optional,
	})
	require.NoError(t, err)
	return content
}

func sign(t testing.TB, key crypto.Signer, message []byte, options ...signature.LoadOption) []byte {
	t.Helper()
	if len(options) == 0 {
		signer, err := signature.LoadDefaultSigner(key)
		require.NoError(t, err)
		signed, err := signer.SignMessage(bytes.NewReader(message))
		require.NoError(t, err)
		return signed
	}
	signer, err := signature.LoadSignerWithOpts(key, options...)
	require.NoError(t, err)
	signed, err := signer.SignMessage(bytes.NewReader(message))
	require.NoError(t, err)
	return signed
}

// envelope returns a bundle signed by a key, which tests may modify.
func envelope(t testing.TB, key crypto.Signer, payload []byte,
	options ...signature.LoadOption) *protobundle.Bundle {
	t.Helper()
	return &protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: intotoType,
			Signatures: []*protodsse.Signature{{Sig: sign(t, key, dsse.PAE(intotoType, payload),
				options...)}},
		}},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{
				PublicKey: &protocommon.PublicKeyIdentifier{Hint: "a hint"},
			},
		},
	}
}

// fileBundle returns a bundle as cosign sign-blob writes it for a key.
func fileBundle(t testing.TB, key crypto.Signer, content []byte,
	options ...signature.LoadOption) *protobundle.Bundle {
	t.Helper()
	sum := sha256.Sum256(content)
	b := envelope(t, key, nil, options...)
	b.Content =
		&protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{
				Algorithm: protocommon.HashAlgorithm_SHA2_256,
				Digest:    sum[:],
			},
			Signature: sign(t, key, content, options...),
		}}
	return b
}

// certified adds a certificate, a log entry with a time, and a timestamp to a bundle signed by the
// certificate's key.
func (f *forge) certified(t testing.TB, b *protobundle.Bundle, leaf *x509.Certificate,
	at time.Time) *protobundle.Bundle {
	t.Helper()
	material := b.GetVerificationMaterial()
	material.Content = &protobundle.VerificationMaterial_Certificate{
		Certificate: &protocommon.X509Certificate{RawBytes: leaf.Raw},
	}
	var entry *tlog.Entry
	var signed []byte
	if e := b.GetDsseEnvelope(); e != nil {
		signed = e.GetSignatures()[0].GetSig()
		var err error
		entry, err = f.virtual.GenerateTlogEntry(leaf, &dsse.Envelope{
			Payload:     base64.StdEncoding.EncodeToString(e.GetPayload()),
			PayloadType: e.GetPayloadType(),
			Signatures:  []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(signed)}},
		}, signed, at.Unix(), true)
		require.NoError(t, err)
		logged := entry.TransparencyLogEntry()
		logged.KindVersion = &protorekor.KindVersion{Kind: "dsse", Version: "0.0.1"}
		set, err := f.virtual.RekorSignPayload(tlog.RekorPayload{
			Body:           base64.StdEncoding.EncodeToString(logged.GetCanonicalizedBody()),
			IntegratedTime: at.Unix(), LogIndex: logged.GetLogIndex(),
			LogID: hex.EncodeToString(logged.GetLogId().GetKeyId()),
		})
		require.NoError(t, err)
		logged.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: set}
		material.TlogEntries = []*protorekor.TransparencyLogEntry{logged}
	} else {
		m := b.GetMessageSignature()
		material.TlogEntries = []*protorekor.TransparencyLogEntry{
			f.hashedRekord(t, leaf, m.GetMessageDigest().GetDigest(), m.GetSignature(), at),
		}
	}
	return b
}

// timestamped adds a current timestamp to a bundle.
func (f *forge) timestamped(t testing.TB, b *protobundle.Bundle) *protobundle.Bundle {
	t.Helper()
	signed := b.GetMessageSignature().GetSignature()
	if e := b.GetDsseEnvelope(); e != nil {
		signed = e.GetSignatures()[0].GetSig()
	}
	response, err := f.virtual.TimestampResponse(signed)
	require.NoError(t, err)
	b.VerificationMaterial.TimestampVerificationData = &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: response}},
	}
	return b
}

// hashedRekord returns a Rekor 1 entry for the signature of a digest.
func (f *forge) hashedRekord(t testing.TB, leaf *x509.Certificate, digest, signed []byte,
	at time.Time) *protorekor.TransparencyLogEntry {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
			"data": map[string]any{
				"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(digest)},
			},
			"signature": map[string]any{
				"content":   signed,
				"publicKey": map[string]any{"content": pemOf("CERTIFICATE", leaf.Raw)},
			},
		},
	})
	require.NoError(t, err)
	id, err := f.virtual.RekorLogID()
	require.NoError(t, err)
	set, err := f.virtual.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: at.Unix(), LogIndex: 3,
		LogID: id,
	})
	require.NoError(t, err)
	proof, err := f.virtual.GetInclusionProof(body)
	require.NoError(t, err)
	rawID, err := hex.DecodeString(id)
	require.NoError(t, err)
	rootHash, err := hex.DecodeString(*proof.RootHash)
	require.NoError(t, err)
	return &protorekor.TransparencyLogEntry{
		LogIndex: 3, LogId: &protocommon.LogId{KeyId: rawID},
		KindVersion:    &protorekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"},
		IntegratedTime: at.Unix(), InclusionPromise: &protorekor.InclusionPromise{
			SignedEntryTimestamp: set,
		}, CanonicalizedBody: body,
		InclusionProof: &protorekor.InclusionProof{
			LogIndex: *proof.LogIndex, TreeSize: *proof.TreeSize, RootHash: rootHash,
			Checkpoint: &protorekor.Checkpoint{Envelope: *proof.Checkpoint},
		},
	}
}

// annotated returns a candidate in cosign 2's format, with a certificate.
func (f *forge) annotated(t testing.TB, leaf *x509.Certificate, key crypto.Signer, payload []byte,
	at time.Time) *verification.Candidate {
	t.Helper()
	signed := sign(t, key, payload)
	sum := sha256.Sum256(payload)
	entry := f.hashedRekord(t, leaf, sum[:], signed, at)
	id, err := f.virtual.RekorLogID()
	require.NoError(t, err)
	log, err := json.Marshal(map[string]any{
		"SignedEntryTimestamp": entry.GetInclusionPromise().GetSignedEntryTimestamp(),
		"Payload": map[string]any{
			"body": entry.GetCanonicalizedBody(), "integratedTime": entry.GetIntegratedTime(),
			"logIndex": entry.GetLogIndex(), "logID": id,
		},
	})
	require.NoError(t, err)
	return &verification.Candidate{
		Place: "layer 1", Payload: payload, Signature: signed,
		Certificate: pemOf("CERTIFICATE", leaf.Raw), RekorBundle: log,
		Chain: append(pemOf("CERTIFICATE", f.authority.Raw), pemOf("CERTIFICATE", f.top.Raw)...),
	}
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func publicPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return pemOf("PUBLIC KEY", der)
}

func candidate(t testing.TB, b *protobundle.Bundle) *verification.Candidate {
	t.Helper()
	content, err := protojson.Marshal(b)
	require.NoError(t, err)
	return &verification.Candidate{Place: "referrer", Bundle: content}
}
