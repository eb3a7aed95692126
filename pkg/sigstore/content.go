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
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// withoutCertificate is the verification content of a signature by a key that the candidate does
// not contain.
type withoutCertificate struct{}

var _ verify.VerificationContent = &withoutCertificate{}

func (*withoutCertificate) CompareKey(any, root.TrustedMaterial) bool        { return false }
func (*withoutCertificate) ValidAtTime(time.Time, root.TrustedMaterial) bool { return true }
func (*withoutCertificate) Certificate() *x509.Certificate                   { return nil }
func (*withoutCertificate) Intermediates() []*x509.Certificate               { return nil }
func (w *withoutCertificate) PublicKey() verify.PublicKeyProvider            { return w }
func (*withoutCertificate) Hint() string                                     { return "" }

// givenCertificate is a certificate that the caller demands, whatever the candidate contains. The
// log entry may hold the certificate's key instead: cosign uploads the key if the certificate is
// attached later.
type givenCertificate struct {
	verify.VerificationContent
}

func (c *givenCertificate) CompareKey(logged any, material root.TrustedMaterial) bool {
	if c.VerificationContent.CompareKey(logged, material) {
		return true
	}
	key, ok := c.Certificate().PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && logged != nil && key.Equal(logged)
}

// parseCertificates parses PEM certificates, or one DER certificate.
func parseCertificates(what string, text []byte, limit int) ([]*x509.Certificate, error) {
	if err := bounded(what, len(text), limit*MaxCertificateBytes); err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil {
		c, err := x509.ParseCertificate(text)
		if err != nil {
			return nil, fmt.Errorf("%s is neither PEM nor DER: %w", what, err)
		}
		return []*x509.Certificate{c}, verification.CheckKey(c.PublicKey)
	}
	var all []*x509.Certificate
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf(
				"%s has a %q in PEM, not a CERTIFICATE", what, oneLine(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if err := verification.CheckKey(c.PublicKey); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		if all = append(all, c); len(all) > limit {
			return nil, fmt.Errorf("%s has more than %d certificates", what, limit)
		}
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s is followed by something that is not PEM", what)
	}
	return all, nil
}

// checkUsage refuses certificates that are not for code signing. The library also checks the usage,
// but accepts a certificate that states none.
func checkUsage(c *x509.Certificate) error {
	if c.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("the certificate's key usage lacks digitalSignature")
	}
	for _, usage := range c.ExtKeyUsage {
		if usage == x509.ExtKeyUsageCodeSigning {
			return nil
		}
	}
	return errors.New("the certificate's extended key usage lacks codeSigning")
}

// certificateMaterial is the trusted material of one authority, with the logs and timestamp
// authorities of a trust root.
type certificateMaterial struct {
	root.BaseTrustedMaterial
	authority  root.CertificateAuthority
	logs       map[string]*root.TransparencyLog
	timestamps []root.TimestampingAuthority
}

func (m *certificateMaterial) FulcioCertificateAuthorities() []root.CertificateAuthority {
	return []root.CertificateAuthority{m.authority}
}

func (m *certificateMaterial) RekorLogs() map[string]*root.TransparencyLog { return m.logs }

func (m *certificateMaterial) TimestampingAuthorities() []root.TimestampingAuthority {
	return m.timestamps
}

// parseChain parses a certificate that the caller demands, and the chain that vouches for it.
func parseChain(text []byte, chain [][]byte) (root.CertificateAuthority, *x509.Certificate, error) {
	leaf, err := parseCertificates("the certificate", text, 1)
	if err != nil {
		return nil, nil, err
	}
	if err := checkUsage(leaf[0]); err != nil {
		return nil, nil, err
	}
	if len(chain) == 0 {
		return &root.FulcioCertificateAuthority{Root: leaf[0]}, leaf[0], nil
	}
	if len(chain) > MaxChainCertificates {
		return nil, nil, fmt.Errorf("the chain has %d certificates, at most %d are read",
			len(chain), MaxChainCertificates)
	}
	var parents []*x509.Certificate
	for i, text := range chain {
		c, err := parseCertificates(fmt.Sprintf("certificate %d of the chain", i+1), text, 1)
		if err != nil {
			return nil, nil, err
		}
		parents = append(parents, c[0])
	}
	last := len(parents) - 1
	return &root.FulcioCertificateAuthority{Root: parents[last], Intermediates: parents[:last]},
		leaf[0], nil
}
