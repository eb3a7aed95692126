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
	"encoding/asn1"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

func TestIdentity(t *testing.T) {
	const workflow = "https://github.com/owner/name/.github/workflows/release.yml@refs/tags/v1"
	f := newForge(t)
	oldRepository := pkix.Extension{Id: certificate.OIDGitHubWorkflowRepository, Value: []byte("owner/name")} //nolint:staticcheck // what certificates have
	repository := pkix.Extension{
		Id:    certificate.OIDSourceRepositoryURI,
		Value: derString(t, "https://gitlab.com/group/name"),
	}
	email, uri := name(1, testEmail), name(6, workflow)
	for _, c := range []struct {
		name    string
		request request
		want    verification.CertificateIdentity
		err     string
	}{
		{"older issuer alone", request{issuerV1: testIssuer},
			verification.CertificateIdentity{Issuer: testIssuer, Subjects: []string{testEmail}},
			""},
		{"newer issuer alone", request{issuerV2: testIssuer},
			verification.CertificateIdentity{Issuer: testIssuer, Subjects: []string{testEmail}},
			""},
		{"issuers differ", request{issuerV1: testIssuer, issuerV2: testIssuer + "/"},
			verification.CertificateIdentity{}, "names two issuers"},
		{"e-mail first", request{names: []asn1.RawValue{email, uri}},
			verification.CertificateIdentity{
				Issuer:   testIssuer,
				Subjects: []string{testEmail, workflow},
			}, ""},
		{"URI first", request{names: []asn1.RawValue{uri, email}},
			verification.CertificateIdentity{
				Issuer:   testIssuer,
				Subjects: []string{workflow, testEmail},
			}, ""},
		{"with a host", request{names: []asn1.RawValue{name(2, "example.com"), uri}},
			verification.CertificateIdentity{Issuer: testIssuer, Subjects: []string{workflow}}, ""},
		{"host alone", request{names: []asn1.RawValue{name(2, "example.com")}},
			verification.CertificateIdentity{}, "neither an e-mail address nor a URI"},
		{"repository", request{extensions: []pkix.Extension{repository}},
			verification.CertificateIdentity{
				Issuer:           testIssuer,
				Subjects:         []string{testEmail},
				SourceRepository: "https://gitlab.com/group/name",
			}, ""},
		{"older repository", request{
			issuerV1:   githubIssuer,
			names:      []asn1.RawValue{uri},
			extensions: []pkix.Extension{oldRepository},
		},
			verification.CertificateIdentity{
				Issuer:           githubIssuer,
				Subjects:         []string{workflow},
				SourceRepository: "https://github.com/owner/name",
			}, ""},
		{"older repository of an enterprise", request{
			issuerV1:   githubIssuer + "/acme",
			names:      []asn1.RawValue{uri},
			extensions: []pkix.Extension{oldRepository},
		},
			verification.CertificateIdentity{
				Issuer:           githubIssuer + "/acme",
				Subjects:         []string{workflow},
				SourceRepository: "https://github.com/owner/name",
			}, ""},
		{"both repositories",
			request{
				issuerV1:   githubIssuer,
				extensions: []pkix.Extension{oldRepository, repository},
			},
			verification.CertificateIdentity{
				Issuer:           githubIssuer,
				Subjects:         []string{testEmail},
				SourceRepository: "https://gitlab.com/group/name",
			}, ""},
		{"older repository by another issuer",
			request{
				issuerV1:   githubIssuer + ".example.com",
				extensions: []pkix.Extension{oldRepository},
			},
			verification.CertificateIdentity{
				Issuer:   githubIssuer + ".example.com",
				Subjects: []string{testEmail},
			}, ""},
		{"issuer that is no string",
			request{
				issuerV1:   testIssuer,
				extensions: []pkix.Extension{{Id: certificate.OIDIssuerV2, Value: []byte("raw")}},
			}, verification.CertificateIdentity{}, "issuer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf, _ := f.leaf(t, c.request)
			got, err := identity(leaf)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, *got)
		})
	}
	t.Run("no issuer", func(t *testing.T) {
		_, err := identity(f.authority)
		require.ErrorContains(t, err, "does not say who issued")
	})
}
