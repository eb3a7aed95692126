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
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// The OID of a certificate's subject alternative names, and the tags of those that are read.
var (
	oidSubjectAlternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}
	tagEmail                  = cryptobyteasn1.Tag(1).ContextSpecific()
	tagURI                    = cryptobyteasn1.Tag(6).ContextSpecific()
)

// githubIssuer is the issuer that may vouch for workflows on github.com. An enterprise may have its
// own issuer, which continues with a slash.
const githubIssuer = "https://token.actions.githubusercontent.com"

// identity reads the identity that Fulcio attests in a certificate.
func identity(c *x509.Certificate) (*verification.CertificateIdentity, error) {
	issuer, err := issuer(c)
	if err != nil {
		return nil, err
	}
	subjects, err := subjects(c)
	if err != nil {
		return nil, err
	}
	extensions, err := certificate.ParseExtensions(c.Extensions)
	if err != nil {
		return nil, err
	}
	repository := extensions.SourceRepositoryURI
	fromGitHub := issuer == githubIssuer || strings.HasPrefix(issuer, githubIssuer+"/")
	if repository == "" && extensions.GithubWorkflowRepository != "" && fromGitHub {
		repository = "https://github.com/" + extensions.GithubWorkflowRepository
	}
	return &verification.CertificateIdentity{
		Issuer:           issuer,
		Subjects:         subjects,
		SourceRepository: repository,
	}, nil
}

// issuer reads the issuer from both possible extensions. The library uses the last one, and other
// tools the older one. A certificate with two different issuers would mean a different signer to
// each.
func issuer(c *x509.Certificate) (string, error) {
	var first, second string
	for _, extension := range c.Extensions {
		switch {
		case extension.Id.Equal(certificate.OIDIssuer): //nolint:staticcheck // what older certificates have
			first = string(extension.Value)
		case extension.Id.Equal(certificate.OIDIssuerV2):
			if err := certificate.ParseDERString(extension.Value, &second); err != nil {
				return "", fmt.Errorf("the certificate's issuer: %w", err)
			}
		}
	}
	switch {
	case first == "" && second == "":
		return "", errors.New("the certificate does not say who issued the identity")
	case first != "" && second != "" && first != second:
		return "", fmt.Errorf("the certificate names two issuers of the identity, %q and %q", first,
			second)
	case second != "":
		return second, nil
	default:
		return first, nil
	}
}

// subjects returns e-mail addresses and URIs in the certificate's order, which the library does not
// preserve.
func subjects(c *x509.Certificate) ([]string, error) {
	var all []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidSubjectAlternativeName) {
			continue
		}
		names, rest := cryptobyte.String(nil), cryptobyte.String(extension.Value)
		if !rest.ReadASN1(&names, cryptobyteasn1.SEQUENCE) || !rest.Empty() {
			return nil, errors.New("the certificate's subject alternative names cannot be read")
		}
		for !names.Empty() {
			var name cryptobyte.String
			var tag cryptobyteasn1.Tag
			if !names.ReadAnyASN1(&name, &tag) {
				return nil, errors.New("the certificate's subject alternative names cannot be read")
			}
			if tag == tagEmail || tag == tagURI {
				all = append(all, string(name))
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New(
			"the certificate has neither an e-mail address nor a URI as subject alternative name")
	}
	return all, nil
}
