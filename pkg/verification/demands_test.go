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

package verification_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

func TestNewConfig(t *testing.T) {
	by := func(subject string) verification.Signature {
		return verification.Signature{
			Kind:    verification.KindGenericIssuer,
			Issuer:  "https://issuer.example.com",
			Subject: &verification.Subject{URLPrefix: subject},
		}
	}
	config, err := verification.NewConfig(by("https://GITHUB.com/org"),
		by("https://github.com/other"), by("https://github.com/org/"))
	require.NoError(t, err)
	require.Len(t, config.AllOf, 2, "two demand the same")
	require.Equal(t, "https://github.com/org/", config.AllOf[0].Subject.URLPrefix)
	require.True(t, config.Keyless())

	for want, signatures := range map[string][]verification.Signature{
		"0 signatures are demanded: write from 1 to 32": nil,
		"33 signatures are demanded: write from 1 to 32": slices.Repeat([]verification.Signature{
			by("https://github.com/org"),
		}, 33),
		"allOf[0].key: is missing": {{Kind: verification.KindPublicKey}},
		"allOf[1].key: is not in PEM": {by("https://github.com/org"),
			{Kind: verification.KindPublicKey, Key: "k"}},
	} {
		_, err := verification.NewConfig(signatures...)
		require.ErrorContains(t, err, want)
	}
}

// certified accepts the candidates at some places as signed by the expected certificate.
type certified struct {
	verification.Checker
	places []string
}

func (c *certified) Certificate(_ context.Context, candidate *verification.Candidate,
	_ verification.Artifact, certificate []byte, _ [][]byte, _ bool) (*verification.Signed, error) {
	if string(certificate) != "certificate" || !slices.Contains(c.places, candidate.Place) {
		return nil, errors.New("signed by another certificate")
	}
	return &verification.Signed{Annotations: map[string]string{"place": candidate.Place}}, nil
}

func TestJudgeCertificate(t *testing.T) {
	checker := &certified{places: []string{"b", "c"}}
	judge := func(ctx context.Context, certificate string, annotations map[string]string) error {
		candidates := func(yield func(*verification.Candidate, error) bool) {
			_ = yield(&verification.Candidate{Place: "a"}, nil) &&
				yield(nil, errors.New("tag x: gone")) &&
				yield(&verification.Candidate{Place: "b"}, nil) &&
				yield(&verification.Candidate{Place: "c"}, nil)
		}
		return verification.JudgeCertificate(ctx, checker, artifact, candidates,
			verification.CertificateDemand{
				Certificate: []byte(certificate),
				Annotations: annotations,
			})
	}
	require.NoError(t, judge(t.Context(), "certificate", nil))
	require.NoError(t, judge(t.Context(), "certificate", map[string]string{"place": "c"}))
	require.EqualError(t, judge(t.Context(), "certificate", map[string]string{"place": "a"}),
		"no signature meets the certificate; found 3: "+
			`a: signed by another certificate; b: wants annotation "place" to be "a", not "b"; c: wants annotation "place" to be "a", not "c"; not everything could be read: tag x: gone`)
	require.ErrorContains(t, judge(t.Context(), "another", nil),
		"found 3: a: signed by another certificate")

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, judge(ended, "certificate", nil), context.Canceled)
}
