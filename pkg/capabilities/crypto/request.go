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

package crypto

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	// maxCertificateBytes bounds one certificate. Typical certificates have 1 to 2 KiB.
	maxCertificateBytes = 64 << 10
	// maxChain bounds the number of certificates in the chain.
	maxChain = 32
	// maxRSABits bounds the cost of one signature check, with the limit of crypto/tls. crypto/x509
	// bounds the number of checks.
	maxRSABits = 8192
)

// request asks whether a certificate is trusted.
type request struct {
	Cert certificate `json:"cert"`
	// CertChain is the chain of trust with the root last. Nil selects the roots that Mozilla
	// trusts.
	CertChain *chain `json:"cert_chain"`
	// NotAfter is the time at which the certificate must be valid, in RFC 3339. An empty string
	// means now.
	NotAfter string `json:"not_after"`
}

// certificate is a certificate with its encoding: Pem or Der.
type certificate struct {
	Encoding string `json:"encoding"`
	// Data is an array of numbers. A base64 string, which Go writes for bytes, is also accepted.
	Data []byte `json:"data"`
}

func decode(payload []byte) (*request, error) {
	r := &request{}
	if err := json.Unmarshal(payload, r); err != nil {
		return nil, fmt.Errorf("the payload is not a request to verify a certificate: %w", err)
	}
	return r, nil
}

// chain is a list of certificates. Decoding stops at the bound.
type chain []certificate

// UnmarshalJSON implements [json.Unmarshaler].
func (c *chain) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('[') {
		return errors.New("cert_chain is not a list of certificates")
	}
	*c = chain{}
	for decoder.More() {
		if len(*c) == maxChain {
			return fmt.Errorf("cert_chain has more than %d certificates", maxChain)
		}
		var next certificate
		if err := decoder.Decode(&next); err != nil {
			return err
		}
		*c = append(*c, next)
	}
	return nil
}

// parse returns the certificate. In PEM, the first one counts.
func (c *certificate) parse() (*x509.Certificate, error) {
	if len(c.Data) > maxCertificateBytes {
		return nil, fmt.Errorf("the certificate has %d bytes: at most %d are allowed", len(c.Data),
			maxCertificateBytes)
	}
	der := c.Data
	switch c.Encoding {
	case "Der":
	case "Pem":
		block, _ := pem.Decode(c.Data)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("there is no certificate in PEM")
		}
		der = block.Bytes
	default:
		return nil, fmt.Errorf("encoding %.100q is neither Pem nor Der", c.Encoding)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if key, ok := parsed.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSABits {
		return nil, fmt.Errorf("the certificate's RSA key has %d bits: at most %d are allowed",
			key.N.BitLen(), maxRSABits)
	}
	return parsed, nil
}
