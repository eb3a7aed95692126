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
	"crypto/x509/pkix"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// The description matches the findings of a checker, without a key or a trust root.
func TestDescribe(t *testing.T) {
	f, now := newForge(t), time.Now().Truncate(time.Second)
	source := pkix.Extension{
		Id:    certificate.OIDSourceRepositoryURI,
		Value: derString(t, "https://github.com/owner/name"),
	}
	leaf, key := f.leaf(t, request{extensions: []pkix.Extension{source}})
	annotations := map[string]any{"env": "prod"}
	signed := statement(t, image.Digest, signaturePredicate, annotations)
	bundled := f.timestamped(t, f.certified(t, envelope(t, key, signed), leaf, now))

	for name, c := range map[string]*verification.Candidate{
		"bundle v0.3": candidate(t, bundled),
		"simple signing": f.annotated(t, leaf, key, simpleSigning(t, image.Digest, annotations),
			now),
	} {
		d := Describe(c, image)
		require.Empty(t, d.Problem)
		require.Equal(t, name, d.Format)
		require.Empty(t, d.KeyHint)
		require.Equal(t, testIssuer, d.Certificate.Issuer)
		require.Equal(t, []string{testEmail}, d.Certificate.Subjects)
		require.Equal(t, "https://github.com/owner/name",
			d.Certificate.Extensions["sourceRepositoryURI"])
		require.NotContains(t, d.Certificate.Extensions, "issuer")
		require.Equal(t, leaf.NotAfter.UTC(), d.Certificate.NotAfter)
		require.Equal(t, map[string]string{"env": "prod"}, d.Annotations)
		require.Len(t, d.Log, 1)
		require.Equal(t, now.UTC(), *d.Log[0].Time)
		if name != "simple signing" {
			require.Len(t, d.Timestamps, 1)
		}
	}

	byKey := envelope(t, key, signed)
	byKey.GetVerificationMaterial().GetPublicKey().Hint = "the\nkey"
	require.Equal(t, &Description{
		Format:      "bundle v0.3",
		KeyHint:     "the key",
		Annotations: map[string]string{"env": "prod"},
	}, Describe(candidate(t, byKey), image))
}

// Candidates that are not signatures of the artifact are described as far as they can be read.
func TestDescribeProblems(t *testing.T) {
	f := newForge(t)
	leaf, key := f.leaf(t, request{issuerV1: testIssuer, issuerV2: testIssuer + "/"})
	other := verification.Artifact{Digest: digestOf("another")}
	for name, test := range map[string]struct {
		candidate *verification.Candidate
		artifact  verification.Artifact
		problem   string
	}{
		"nothing": {&verification.Candidate{}, image, "neither a bundle nor a payload"},
		"no bundle": {&verification.Candidate{Bundle: []byte("{")}, image,
			"the bundle cannot be read"},
		"of another": {candidate(t,
			envelope(t, key, statement(t, image.Digest, signaturePredicate, nil))), other,
			"about another artifact"},
		"old, of another": {f.annotated(t, leaf, key, simpleSigning(t, image.Digest, nil),
			time.Now()), other, "about another artifact"},
		"an attestation": {candidate(t,
			envelope(t, key, statement(t, image.Digest, "https://slsa.dev/provenance/v1", nil))),
			image, "an attestation, not a signature"},
		"of a file": {candidate(t, fileBundle(t, key, []byte("file"))), image,
			"signs a file, not an image"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, Describe(test.candidate, test.artifact).Problem, test.problem)
		})
	}
	d := Describe(f.annotated(t, leaf, key, simpleSigning(t, image.Digest, nil), time.Now()), image)
	require.Contains(t, d.Certificate.NoIdentity, "names two issuers")
	require.Empty(t, d.Certificate.Issuer)
}
