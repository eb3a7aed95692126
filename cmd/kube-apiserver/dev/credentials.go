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

package dev

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// validity is the validity of the certificates, which are created at every start.
const validity = 365 * 24 * time.Hour

// credentials are the paths of the files that a server and its administrator need. Only their owner
// can read them.
type credentials struct {
	ca                string // signs and verifies both sides
	servingCert       string
	servingKey        string
	serviceAccountKey string
	kubeconfig        string
}

// writeCredentials writes a new certificate authority, a serving certificate for the loopback
// interface, and a kubeconfig for an administrator of the server at addr. An existing key of the
// service accounts is kept, so that tokens survive a restart. The key of the authority is not
// stored, so nobody can sign further certificates with it.
func writeCredentials(dir string, addr net.Addr) (*credentials, error) {
	pki := filepath.Join(dir, "pki")
	files := &credentials{
		ca:                filepath.Join(pki, "ca.crt"),
		servingCert:       filepath.Join(pki, "serving.crt"),
		servingKey:        filepath.Join(pki, "serving.key"),
		serviceAccountKey: filepath.Join(pki, "service-accounts.key"),
		kubeconfig:        filepath.Join(dir, "kubeconfig"),
	}
	if err := files.write(pki, addr); err != nil {
		return nil, fmt.Errorf("credentials in %s: %w", dir, err)
	}
	return files, nil
}

func (c *credentials) write(pki string, addr net.Addr) error {
	if err := os.MkdirAll(pki, 0o700); err != nil {
		return err
	}
	if _, _, err := keyutil.LoadOrGenerateKeyFile(c.serviceAccountKey); err != nil {
		return err
	}
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	serving, servingKey, err := authority.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	admin, adminKey, err := authority.issue(&x509.Certificate{
		Subject: pkix.Name{
			CommonName:   "admin",
			Organization: []string{user.SystemPrivilegedGroup},
		},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	for path, data := range map[string][]byte{
		c.ca:          authority.pem,
		c.servingCert: serving,
		c.servingKey:  servingKey,
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"dev": {
			Server:                   "https://" + addr.String(),
			CertificateAuthorityData: authority.pem,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"admin": {
			ClientCertificateData: admin,
			ClientKeyData:         adminKey,
		}},
		Contexts: map[string]*clientcmdapi.Context{
			"dev": {Cluster: "dev", AuthInfo: "admin"},
		},
		CurrentContext: "dev",
	}, c.kubeconfig)
}

// authority is a certificate authority with its key.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "kube-apiserver dev"}, key)
	if err != nil {
		return nil, err
	}
	encoded, err := cert.EncodeCertificates(root)
	if err != nil {
		return nil, err
	}
	return &authority{cert: root, pem: encoded, key: key}, nil
}

// issue signs a certificate for a new key. The template contains the subject, names and usage;
// issue adds the rest. Both results are PEM.
func (a *authority) issue(template *x509.Certificate) (certificate, key []byte, err error) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	// CreateCertificate chooses a random serial number if there is none.
	template.NotBefore = a.cert.NotBefore
	template.NotAfter = a.cert.NotBefore.Add(validity)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, signer.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	issued, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if certificate, err = cert.EncodeCertificates(issued); err != nil {
		return nil, nil, err
	}
	key, err = keyutil.MarshalPrivateKeyToPEM(signer)
	return certificate, key, err
}
