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
	"encoding/json"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// judged checks the properties of every verdict on fuzzed input.
func judged(t *testing.T, signed *verification.Signed, err error) {
	t.Helper()
	if err == nil {
		require.NotNil(t, signed)
		return
	}
	require.Nil(t, signed)
	require.NotContains(t, err.Error(), "panic")
	require.NotContains(t, err.Error(), "\n")
}

func FuzzBundle(f *testing.F) {
	all, forge := samples(f), newForge(f)
	leaf, key := forge.leaf(f, request{})
	checker := forge.checker(f)
	for _, s := range all {
		f.Add([]byte(s.Bundle))
		f.Add([]byte(s.FileBundle))
	}
	for _, b := range []*protobundle.Bundle{
		forge.timestamped(f,
			forge.certified(f,
				envelope(f, key, statement(f, image.Digest, signaturePredicate, nil)), leaf,
				time.Now())),
		forge.certified(f, fileBundle(f, key, []byte("file")), leaf, time.Now()),
	} {
		f.Add(candidate(f, b).Bundle)
	}
	trusted := []byte(all["ed25519"].Key)
	foreign := publicPEM(f, another(f, key))
	f.Fuzz(func(t *testing.T, content []byte) {
		c := &verification.Candidate{Bundle: content}
		for _, artifact := range []verification.Artifact{
			image,
			{Digest: all["ed25519"].Digest},
			{Digest: digestOf("file"), IsFile: true},
			{Digest: digestOf("file"), IsFile: true, Content: []byte("file")},
		} {
			signed, err := checker.Keyless(t.Context(), c, artifact)
			judged(t, signed, err)
			signed, err = checker.Key(t.Context(), c, artifact, trusted)
			judged(t, signed, err)
			signed, err = checker.Certificate(t.Context(), c, artifact, leaf.Raw, nil, true)
			judged(t, signed, err)
			_, err = checker.Key(t.Context(), c, artifact, foreign)
			require.Error(t, err, "a key that has signed nothing is believed")
			require.NotContains(t, Describe(c, artifact).Problem, "panic")
		}
	})
}

func FuzzPayload(f *testing.F) {
	all, forge := samples(f), newForge(f)
	leaf, key := forge.leaf(f, request{})
	checker := forge.checker(f)
	for _, s := range all {
		f.Add(s.Payload, s.Signature, []byte{}, []byte{}, []byte{})
	}
	good := forge.annotated(f, leaf, key, simpleSigning(f, image.Digest, nil), time.Now())
	f.Add(good.Payload, good.Signature, good.Certificate, good.Chain, good.RekorBundle)
	foreign := publicPEM(f, another(f, key))
	f.Fuzz(func(t *testing.T, payload, signature, certificate, chain, log []byte) {
		c := &verification.Candidate{
			Payload:     payload,
			Signature:   signature,
			Certificate: certificate,
			Chain:       chain,
			RekorBundle: log,
		}
		signed, err := checker.Keyless(t.Context(), c, image)
		judged(t, signed, err)
		signed, err = checker.Certificate(t.Context(), c, image, leaf.Raw, nil, false)
		judged(t, signed, err)
		_, err = checker.Key(t.Context(), c, image, foreign)
		require.Error(t, err, "a key that has signed nothing is believed")
		// A payload must be parsed without a panic, even if it is signed.
		_, _ = payloadClaims(payload, image.Digest)
	})
}

func FuzzRoot(f *testing.F) {
	f.Add(newForge(f).parts().json(f))
	f.Add(embeddedRoot)
	f.Add([]byte(`{"mediaType":"` + clientTrustConfigMediaType + `","trustedRoot":{}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := ParseRoot(content, time.Now())
		if err != nil {
			require.Nil(t, r)
			require.NotContains(t, err.Error(), "panic")
			return
		}
		require.True(t, json.Valid(r.JSON()))
	})
}
