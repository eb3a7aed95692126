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

package instance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// Files with the keys and certificates of the parts.
const (
	fulcioKeyFile          = "fulcio.key"
	fulcioChainFile        = "fulcio.pem"
	rekorKeyFile           = "rekor.key"
	rekorPublicFile        = "rekor.pub"
	olderRekorKeyFile      = "older-rekor.key"
	olderRekorPublicFile   = "older-rekor.pub"
	certificatesKeyFile    = "certificates.key"
	certificatesPublicFile = "certificates.pub"
	timestampKeyFile       = "timestamps.key"
	timestampChainFile     = "timestamps.pem"
)

// Keys are the keys of an instance's parts. With them, tests can forge statements that the parts
// would never make.
type Keys struct {
	// Fulcio is the key of FulcioAuthority, which certifies identities.
	Fulcio          *ecdsa.PrivateKey
	FulcioAuthority *x509.Certificate
	// Rekor signs the log's checkpoints.
	Rekor ed25519.PrivateKey
	// OlderRekor signs the older log's checkpoints, and its statements about single entries.
	OlderRekor *ecdsa.PrivateKey
	// Certificates is the key of the certificate transparency log.
	Certificates *ecdsa.PrivateKey
	// Timestamps is the key of TimestampAuthority, which signs timestamps.
	Timestamps         *ecdsa.PrivateKey
	TimestampAuthority *x509.Certificate
}

// NewKeys generates keys, and writes them to a directory.
func NewKeys(directory string) (*Keys, error) {
	k := &Keys{}
	write := func(name, kind string, contents ...[]byte) error {
		var text []byte
		for _, content := range contents {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})...)
		}
		return os.WriteFile(filepath.Join(directory, name), text, 0o600)
	}
	for _, authority := range []struct {
		key, chain string
		make       func() (*ecdsa.PrivateKey, []*x509.Certificate, error)
		take       func(*ecdsa.PrivateKey, *x509.Certificate)
	}{
		{fulcioKeyFile, fulcioChainFile, newCodeAuthority,
			func(key *ecdsa.PrivateKey, c *x509.Certificate) {
				k.Fulcio, k.FulcioAuthority = key, c
			}},
		{timestampKeyFile, timestampChainFile, newTimestampAuthority,
			func(key *ecdsa.PrivateKey, c *x509.Certificate) {
				k.Timestamps, k.TimestampAuthority = key, c
			}},
	} {
		key, chain, err := authority.make()
		if err != nil {
			return nil, err
		}
		authority.take(key, chain[0])
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		if err := write(authority.key, "PRIVATE KEY", der); err != nil {
			return nil, err
		}
		var contents [][]byte
		for _, c := range chain {
			contents = append(contents, c.Raw)
		}
		if err := write(authority.chain, "CERTIFICATE", contents...); err != nil {
			return nil, err
		}
	}
	return k, k.newLogs(write)
}

// newLogs generates the keys of the logs, in the formats that the logs need.
func (k *Keys) newLogs(write func(name, kind string, contents ...[]byte) error) (err error) {
	if _, k.Rekor, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return err
	}
	if k.Certificates, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	if k.OlderRekor, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	certificates, err := x509.MarshalECPrivateKey(k.Certificates)
	if err != nil {
		return err
	}
	if err := write(certificatesKeyFile, "EC PRIVATE KEY", certificates); err != nil {
		return err
	}
	for name, key := range map[string]crypto.Signer{
		rekorKeyFile:      k.Rekor,
		olderRekorKeyFile: k.OlderRekor,
	} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := write(name, "PRIVATE KEY", der); err != nil {
			return err
		}
	}
	for name, key := range map[string]crypto.Signer{
		rekorPublicFile:        k.Rekor,
		olderRekorPublicFile:   k.OlderRekor,
		certificatesPublicFile: k.Certificates,
	} {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return err
		}
		if err := write(name, "PUBLIC KEY", der); err != nil {
			return err
		}
	}
	return nil
}

// newCodeAuthority creates Fulcio's authority: an intermediate certificate and its root.
func newCodeAuthority() (*ecdsa.PrivateKey, []*x509.Certificate, error) {
	root, rootKey, err := certify(authority("root"), nil, nil)
	if err != nil {
		return nil, nil, err
	}
	template := authority("fulcio")
	template.ExtKeyUsage, template.MaxPathLenZero = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		true
	middle, key, err := certify(template, root, rootKey)
	return key, []*x509.Certificate{middle, root}, err
}

// newTimestampAuthority creates the timestamp authority: its certificate and the certificate chain
// above it.
func newTimestampAuthority() (*ecdsa.PrivateKey, []*x509.Certificate, error) {
	root, rootKey, err := certify(authority("timestamps root"), nil, nil)
	if err != nil {
		return nil, nil, err
	}
	template := authority("timestamps intermediate")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
	middle, middleKey, err := certify(template, root, rootKey)
	if err != nil {
		return nil, nil, err
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return nil, nil, err
	}
	leaf := authority("timestamps")
	leaf.IsCA, leaf.BasicConstraintsValid, leaf.KeyUsage = false, false,
		x509.KeyUsageDigitalSignature
	// The extension must be critical.
	leaf.ExtraExtensions = []pkix.Extension{{
		Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage,
	}}
	c, key, err := certify(leaf, middle, middleKey)
	return key, []*x509.Certificate{c, middle, root}, err
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{"a private Sigstore"}},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// certify signs a certificate with its parent's key, or with its own.
func certify(template, parent *x509.Certificate,
	parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader,
		new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	c, err := x509.ParseCertificate(der)
	return c, key, err
}
