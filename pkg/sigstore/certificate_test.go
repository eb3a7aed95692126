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
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

func TestCertificate(t *testing.T) {
	f := newForge(t)
	checker := f.checker(t)
	leaf, key := f.leaf(t, request{})
	expired, expiredKey := f.leaf(t,
		request{notBefore: time.Now().Add(-10*time.Minute - 30*time.Second)})
	payload := simpleSigning(t, image.Digest, map[string]any{"env": "prod"})
	// the library creates authorities that are two minutes old
	inTime := time.Now().Add(-time.Minute)
	chain := [][]byte{pemOf("CERTIFICATE", f.authority.Raw), pemOf("CERTIFICATE", f.top.Raw)}
	byHint := envelope(t, key,
		statement(t, image.Digest, signaturePredicate, map[string]any{"env": "prod"}))
	byCertificate := f.certified(t,
		envelope(t, key,
			statement(t, image.Digest, signaturePredicate, map[string]any{"env": "prod"})), leaf,
		time.Now())
	// The log holds the key, as if the certificate had been attached later.
	keyLogged := f.annotated(t, leaf, key, payload, time.Now())
	keyLogged.RekorBundle = f.logOfKey(t, publicPEM(t, key), payload, keyLogged.Signature)
	for _, c := range []struct {
		name        string
		candidate   *verification.Candidate
		certificate []byte
		chain       [][]byte
		rekor       bool
	}{
		{"annotations", f.annotated(t, leaf, key, payload, time.Now()),
			pemOf("CERTIFICATE", leaf.Raw), chain, false},
		{"annotations and log", f.annotated(t, leaf, key, payload, time.Now()),
			pemOf("CERTIFICATE", leaf.Raw), chain, true},
		{"expired, but not when the log saw it",
			f.annotated(t, expired, expiredKey, payload, inTime), pemOf("CERTIFICATE", expired.Raw),
			chain, true},
		{"the log has the key", keyLogged, pemOf("CERTIFICATE", leaf.Raw), chain, true},
		{"no chain", f.annotated(t, leaf, key, payload, time.Now()), leaf.Raw, nil, false},
		{"nothing beside the payload",
			&verification.Candidate{Payload: payload, Signature: sign(t, key, payload)}, leaf.Raw,
			[][]byte{f.authority.Raw, f.top.Raw}, false},
		{"the authority in the middle is trusted", f.annotated(t, leaf, key, payload, time.Now()),
			leaf.Raw, [][]byte{f.authority.Raw}, true},
		{"bundle by a key", candidate(t, byHint), leaf.Raw, chain, false},
		{"bundle by a certificate", candidate(t, byCertificate), leaf.Raw, chain, true},
		{"bundle in an older version", candidate(t, older(byHint)), leaf.Raw, chain, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			signed, err := checker.Certificate(t.Context(), c.candidate, image, c.certificate,
				c.chain, c.rekor)
			require.NoError(t, err)
			require.Equal(t, &verification.Signed{Annotations: map[string]string{"env": "prod"}},
				signed, "the identity is not for a certificate to claim")
		})
	}
}

func older(b *protobundle.Bundle) *protobundle.Bundle {
	b.MediaType = "application/vnd.dev.sigstore.bundle+json;version=0.2"
	return b
}

// logOfKey returns the annotation with the log entry for a signature by a key.
func (f *forge) logOfKey(t testing.TB, key, payload, signed []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(payload)
	body := mustJSON(t, map[string]any{
		"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
			"data": map[string]any{
				"hash": map[string]any{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])},
			},
			"signature": map[string]any{
				"content":   signed,
				"publicKey": map[string]any{"content": key},
			},
		},
	})
	var b rekorBundle
	var err error
	b.Payload.Body, b.Payload.IntegratedTime, b.Payload.LogIndex = body, time.Now().Unix(), 4
	b.Payload.LogID, err = f.virtual.RekorLogID()
	require.NoError(t, err)
	b.SignedEntryTimestamp, err = f.virtual.RekorSignPayload(tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: b.Payload.IntegratedTime,
		LogIndex: 4, LogID: b.Payload.LogID,
	})
	require.NoError(t, err)
	content, err := json.Marshal(b)
	require.NoError(t, err)
	return content
}

// Unsigned fields have no effect.
func TestWhatNobodySigns(t *testing.T) {
	f := newForge(t)
	leaf, key := f.leaf(t, request{})
	b := f.certified(t, envelope(t, key, statement(t, image.Digest, signaturePredicate, nil)), leaf,
		time.Now())
	b.VerificationMaterial.GetTlogEntries()[0].KindVersion.Kind = "intoto"
	_, err := f.checker(t).Keyless(t.Context(), candidate(t, b), image)
	require.NoError(t, err)
	b = envelope(t, key, statement(t, image.Digest, signaturePredicate, nil))
	b.VerificationMaterial.Content = &protobundle.VerificationMaterial_PublicKey{
		PublicKey: &protocommon.PublicKeyIdentifier{},
	}
	_, err = New(nil).Key(t.Context(), candidate(t, b), image, publicPEM(t, key))
	require.NoError(t, err)
}

// Fields that the check does not need may be unreadable.
func TestWhatIsNotAskedFor(t *testing.T) {
	f := newForge(t)
	leaf, key := f.leaf(t, request{})
	c := f.annotated(t, leaf, key, simpleSigning(t, image.Digest, nil), time.Now())
	c.Certificate, c.Chain = []byte("none"), []byte("none")
	_, err := f.checker(t).Certificate(t.Context(), c, image, leaf.Raw, nil, true)
	require.NoError(t, err)
	c.RekorBundle = []byte("none")
	_, err = f.checker(t).Certificate(t.Context(), c, image, leaf.Raw, nil, false)
	require.NoError(t, err)
	_, err = New(nil).Key(t.Context(), c, image, publicPEM(t, key))
	require.NoError(t, err)
	_, err = f.checker(t).Keyless(t.Context(), c, image)
	require.Error(t, err)
}
