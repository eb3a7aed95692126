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

// Package certificate lets the host verify certificates. A policy can use crypto/x509 instead, but
// that makes the module some megabytes larger, and it has no root certificates.
package certificate

import (
	"time"

	"github.com/wasm-admission/wasm-admission/sdk/go/internal/capability"
)

// Encoding is the encoding of a certificate.
type Encoding string

// The encodings.
const (
	PEM Encoding = "Pem"
	DER Encoding = "Der"
)

// Certificate is an X.509 certificate.
type Certificate struct {
	Encoding Encoding
	Data     []byte
}

// Options say what a certificate is verified against.
type Options struct {
	// Chain contains the certificates that vouch for it, intermediate ones first and the root last.
	// nil means the roots of the host. An empty chain vouches for nothing.
	Chain []Certificate
	// Time is when the certificate must be valid. Default: now.
	Time time.Time
}

// UntrustedError is the error for a certificate that is not trusted.
type UntrustedError struct{ Reason string }

// Error implements error.
func (e *UntrustedError) Error() string { return "the certificate is not trusted: " + e.Reason }

// wireCertificate is a certificate in the format of hosts.
type wireCertificate struct {
	Encoding Encoding         `json:"encoding"`
	Data     capability.Bytes `json:"data"`
}

// Verify returns nil for a certificate that is trusted, and an [UntrustedError] for one that is
// not. Any other error means that the host could not find out. A failure that the host reports is a
// policy.HostError.
func Verify(c Certificate, o Options) error {
	request := struct {
		Certificate wireCertificate   `json:"cert"`
		Chain       []wireCertificate `json:"cert_chain"`
		NotAfter    string            `json:"not_after,omitempty"`
	}{Certificate: wireCertificate{c.Encoding, c.Data}}
	if o.Chain != nil {
		request.Chain = []wireCertificate{}
	}
	for _, c := range o.Chain {
		request.Chain = append(request.Chain, wireCertificate{c.Encoding, c.Data})
	}
	if !o.Time.IsZero() {
		request.NotAfter = o.Time.Format(time.RFC3339)
	}
	answer, err := capability.Call[struct {
		Trusted bool   `json:"trusted"`
		Reason  string `json:"reason"`
	}]("crypto", "v1/is_certificate_trusted", request)
	if err == nil && !answer.Trusted {
		err = &UntrustedError{answer.Reason}
	}
	return err
}
