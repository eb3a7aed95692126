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
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/stretchr/testify/require"
)

// forge is a Sigstore instance. Its logs and timestamp authority come from the library. Its
// certificate authority is our own, because the library's omits the signature of a certificate
// transparency log.
type forge struct {
	virtual          *ca.VirtualSigstore
	top, authority   *x509.Certificate
	topKey, key      *ecdsa.PrivateKey
	certificateLog   *ecdsa.PrivateKey
	certificateLogID [sha256.Size]byte
}

func newForge(t testing.TB) *forge {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	require.NoError(t, err)
	f := &forge{virtual: virtual}
	f.top, f.topKey, err = ca.GenerateRootCa()
	require.NoError(t, err)
	f.authority, f.key, err = ca.GenerateFulcioIntermediate(f.top, f.topKey)
	require.NoError(t, err)
	f.certificateLog, f.certificateLogID = newLog(t)
	return f
}

func newLog(t testing.TB) (*ecdsa.PrivateKey, [sha256.Size]byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return key, sha256.Sum256(der)
}

// parts are the parts of a trust root, from which tests can remove some.
type parts struct {
	authorities []root.CertificateAuthority
	logs        map[string]*root.TransparencyLog
	timestamps  []root.TimestampingAuthority
	ctLogs      map[string]*root.TransparencyLog
}

func (f *forge) parts() *parts {
	p := &parts{
		authorities: []root.CertificateAuthority{&root.FulcioCertificateAuthority{
			Root: f.top, Intermediates: []*x509.Certificate{f.authority},
			ValidityPeriodStart: time.Now().Add(-time.Hour),
			ValidityPeriodEnd:   time.Now().Add(time.Hour), URI: "https://fulcio.localhost",
		}},
		timestamps: f.virtual.TimestampingAuthorities(),
		logs:       f.virtual.RekorLogs(),
		ctLogs: map[string]*root.TransparencyLog{hex.EncodeToString(f.certificateLogID[:]): {
			BaseURL: "https://ctfe.localhost", ID: f.certificateLogID[:],
			ValidityPeriodStart: time.Now().Add(-time.Hour),
			HashFunc:            crypto.SHA256, PublicKey: f.certificateLog.Public(),
			SignatureHashFunc: crypto.SHA256,
		}},
	}
	for id, log := range p.logs {
		log.ID, _ = hex.DecodeString(id) // the library keeps the digits there
	}
	return p
}

func (p *parts) json(t testing.TB) []byte {
	t.Helper()
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01, p.authorities, p.ctLogs,
		p.timestamps, p.logs)
	require.NoError(t, err)
	content, err := r.MarshalJSON()
	require.NoError(t, err)
	return content
}

func (p *parts) root(t testing.TB) *Root {
	t.Helper()
	r, err := ParseRoot(p.json(t), time.Now())
	require.NoError(t, err)
	return r
}

func (f *forge) checker(t testing.TB) *Checker {
	t.Helper()
	r := f.parts().root(t)
	return New(func() *Root { return r })
}

// request describes a certificate to issue. Zero fields get default values.
type request struct {
	issuerV1, issuerV2 string
	names              []asn1.RawValue
	extensions         []pkix.Extension
	key                crypto.Signer
	notBefore          time.Time
	usage              []x509.ExtKeyUsage
	// withoutLog omits the signed certificate timestamp. foreignLog has another log sign it.
	withoutLog, foreignLog bool
	// authority and authorityKey issue the certificate instead of the forge, if set.
	authority    *x509.Certificate
	authorityKey *ecdsa.PrivateKey
}

const (
	testIssuer = "https://accounts.example.com"
	testEmail  = "dev@example.com"
)

func name(tag int, value string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(value)}
}

func derString(t testing.TB, s string) []byte {
	t.Helper()
	der, err := asn1.MarshalWithParams(s, "utf8")
	require.NoError(t, err)
	return der
}

// leaf issues a certificate.
func (f *forge) leaf(t testing.TB, r request) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	if r.key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		r.key = key
	}
	if r.authority == nil {
		r.authority, r.authorityKey = f.authority, f.key
	}
	if r.issuerV1 == "" && r.issuerV2 == "" {
		r.issuerV1, r.issuerV2 = testIssuer, testIssuer
	}
	if r.names == nil {
		r.names = []asn1.RawValue{name(1, testEmail)}
	}
	if r.notBefore.IsZero() {
		r.notBefore = time.Now().Add(-time.Minute)
	}
	if r.usage == nil {
		r.usage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: r.notBefore,
		NotAfter: r.notBefore.Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: r.usage,
		ExtraExtensions: r.extensions,
	}
	if len(r.names) > 0 {
		names, err := asn1.Marshal(r.names)
		require.NoError(t, err)
		template.ExtraExtensions = append(template.ExtraExtensions,
			pkix.Extension{Id: oidSubjectAlternativeName, Critical: true, Value: names})
	}
	if r.issuerV1 != "" {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: certificate.OIDIssuer, Value: []byte(r.issuerV1)}) //nolint:staticcheck // what certificates have
	}
	if r.issuerV2 != "" {
		template.ExtraExtensions = append(template.ExtraExtensions,
			pkix.Extension{Id: certificate.OIDIssuerV2, Value: derString(t, r.issuerV2)})
	}
	c := issue(t, template, r.authority, r.key.Public(), r.authorityKey)
	if r.withoutLog {
		return c, r.key
	}
	log, id := f.certificateLog, f.certificateLogID
	if r.foreignLog {
		log, _ = newLog(t)
	}
	template.ExtraExtensions = append(template.ExtraExtensions,
		timestampList(t, c, r.authority, log, id))
	return issue(t, template, r.authority, r.key.Public(), r.authorityKey), r.key
}

func issue(t testing.TB, template, parent *x509.Certificate, key crypto.PublicKey,
	parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, parentKey)
	require.NoError(t, err)
	c, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return c
}

// timestampList is the extension of RFC 6962, section 3.3: a certificate transparency log's
// signature of the certificate without the extension.
func timestampList(t testing.TB, c, parent *x509.Certificate, log *ecdsa.PrivateKey,
	id [sha256.Size]byte) pkix.Extension {
	t.Helper()
	milliseconds := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli()))
	issuerKey := sha256.Sum256(parent.RawSubjectPublicKeyInfo)
	signed := append([]byte{0, 0}, milliseconds...) // version 1, certificate_timestamp
	signed = append(signed, 0, 1)                   // precert_entry
	signed = append(signed, issuerKey[:]...)
	length := len(c.RawTBSCertificate)
	signed = append(signed, byte(length>>16), byte(length>>8), byte(length))
	signed = append(signed, c.RawTBSCertificate...)
	signed = append(signed, 0, 0) // no extensions
	sum := sha256.Sum256(signed)
	signature, err := ecdsa.SignASN1(rand.Reader, log, sum[:])
	require.NoError(t, err)
	sct := append([]byte{0}, id[:]...)
	sct = append(sct, milliseconds...)
	sct = append(sct, 0, 0)
	sct = binary.BigEndian.AppendUint16(sct, uint16(tls.ECDSAWithP256AndSHA256))
	sct = binary.BigEndian.AppendUint16(sct, uint16(len(signature)))
	sct = append(sct, signature...)
	list := binary.BigEndian.AppendUint16(nil, uint16(len(sct)+2))
	list = binary.BigEndian.AppendUint16(list, uint16(len(sct)))
	value, err := asn1.Marshal(append(list, sct...))
	require.NoError(t, err)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value}
}
