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
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// TestTampered does not reach these bounds.
func TestBounds(t *testing.T) {
	f := newForge(t)
	checker := f.checker(t)
	leaf, key := f.leaf(t, request{})
	whole := f.certified(t, envelope(t, key, statement(t, image.Digest, signaturePredicate, nil)),
		leaf, time.Now())
	x := &table{t: t}
	annotated := func(change func(*verification.Candidate)) *verification.Candidate {
		c := f.annotated(t, leaf, key, simpleSigning(t, image.Digest, nil), time.Now())
		change(c)
		return c
	}
	chain := func(certificates ...*protocommon.X509Certificate) func(*protobundle.Bundle) {
		return func(b *protobundle.Bundle) {
			b.VerificationMaterial.Content = &protobundle.VerificationMaterial_X509CertificateChain{
				X509CertificateChain: &protocommon.X509CertificateChain{Certificates: certificates},
			}
		}
	}
	for _, c := range []struct {
		name, err string
		candidate *verification.Candidate
	}{
		{"signature in a bundle", "at most 2048", x.changed(whole, func(b *protobundle.Bundle) {
			b.GetDsseEnvelope().GetSignatures()[0].Sig = make([]byte, MaxSignatureBytes+1)
		})},
		{"certificate in a bundle", "at most 65536", x.changed(whole, func(b *protobundle.Bundle) {
			b.VerificationMaterial.GetCertificate().RawBytes = make([]byte, MaxCertificateBytes+1)
		})},
		{"certificates in a bundle", "at most 10",
			x.changed(whole,
				chain(make([]*protocommon.X509Certificate, MaxChainCertificates+1)...))},
		{"certificate beside a payload", "at most 65536",
			annotated(func(c *verification.Candidate) {
				c.Certificate = make([]byte, MaxCertificateBytes+1)
			})},
		{"chain beside a payload", "at most 655360",
			annotated(func(c *verification.Candidate) {
				c.Chain = make([]byte, MaxChainCertificates*MaxCertificateBytes+1)
			})},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := checker.Keyless(t.Context(), c.candidate, image)
			require.ErrorContains(t, err, c.err)
		})
	}
}

func TestPanicsRefuse(t *testing.T) {
	key := publicPEM(t, another(t, nil))
	signed, err := New(nil).Key(t.Context(), nil, image, key)
	require.ErrorContains(t, err, "panic")
	require.Nil(t, signed)
	checker := New(func() *Root { panic("no\nroot") })
	signed, err = checker.Keyless(t.Context(), &verification.Candidate{}, image)
	require.ErrorContains(t, err, "panic: no root")
	require.Nil(t, signed)
	signed, err = checker.Certificate(t.Context(), &verification.Candidate{}, image, nil, nil, true)
	require.ErrorContains(t, err, "panic")
	require.Nil(t, signed)
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := New(nil).Key(ctx, &verification.Candidate{}, image, publicPEM(t, another(t, nil)))
	require.ErrorIs(t, err, context.Canceled)
}

func TestErrorsAreOneLine(t *testing.T) {
	err := wrap("here", errors.New("a\nb\tc\x1b[31m\u202e "+strings.Repeat("ü", maxErrorRunes)))
	require.True(t, strings.HasPrefix(err.Error(), "here: a b c [31m ü"), err)
	require.LessOrEqual(t, utf8.RuneCountInString(err.Error()), maxErrorRunes+1)
	require.True(t, strings.HasSuffix(err.Error(), "…"), err)
}
