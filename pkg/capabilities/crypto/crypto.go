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

// Package crypto implements the host capability crypto: it tells policies whether a certificate is
// trusted.
package crypto

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
)

// Reasons why a certificate is not trusted, in the words that Kubewarden's users know.
const (
	reasonExpired      = "Certificate is being used after its expiration date"
	reasonNotYetValid  = "Certificate is being used before its validity date"
	reasonUnknown      = "Certificate is not trusted by the provided cert chain"
	reasonOtherPattern = "Certificate not trusted: %v"
)

// Crypto answers the host calls of namespace crypto. It is safe for concurrent use.
type Crypto struct{ clock clock.PassiveClock }

var _ capabilities.Capability = &Crypto{}

// New returns the capability. A nil clock is the real one.
func New(c clock.PassiveClock) *Crypto {
	if c == nil {
		c = clock.RealClock{}
	}
	return &Crypto{c}
}

// verdict is the answer to a request to verify a certificate.
type verdict struct {
	Trusted bool   `json:"trusted"`
	Reason  string `json:"reason"`
}

// Call implements [capabilities.Capability].
func (c *Crypto) Call(ctx context.Context, _ *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	if operation != "v1/is_certificate_trusted" {
		return nil, fmt.Errorf("unknown operation: %s", operation)
	}
	request, err := decode(payload)
	if err != nil {
		return nil, err
	}
	// The rest cannot be interrupted, but it is bounded.
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	v, err := c.verify(request)
	if err != nil {
		return nil, &capabilities.FailedError{Err: err}
	}
	return json.Marshal(v)
}

// verify reports whether a certificate is trusted at the time in the request. An unreadable
// certificate is an error, not a verdict.
func (c *Crypto) verify(r *request) (verdict, error) {
	at := c.clock.Now()
	if r.NotAfter != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, r.NotAfter); err != nil {
			return verdict{}, fmt.Errorf("not_after: %w", err)
		}
	}
	leaf, err := r.Cert.parse()
	if err != nil {
		return verdict{}, fmt.Errorf("cert: %w", err)
	}
	options := x509.VerifyOptions{
		CurrentTime: at,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	if r.CertChain == nil {
		options.Roots = mozilla()
	} else if options.Roots, options.Intermediates, err = pools(*r.CertChain); err != nil {
		return verdict{}, err
	}
	if _, err = leaf.Verify(options); err != nil {
		return verdict{Reason: reason(err, at)}, nil
	}
	return verdict{Trusted: true}, nil
}

// pools returns the root, which is the last certificate of a chain, and the certificates before it.
func pools(chain []certificate) (roots, intermediates *x509.CertPool, err error) {
	roots, intermediates = x509.NewCertPool(), x509.NewCertPool()
	for n := range chain {
		parsed, err := chain[n].parse()
		if err != nil {
			return nil, nil, fmt.Errorf("cert_chain[%d]: %w", n, err)
		}
		if n < len(chain)-1 {
			intermediates.AddCert(parsed)
			continue
		}
		// A root that the policy names is trusted regardless of its dates, as in Kubewarden.
		parsed.NotBefore, parsed.NotAfter = time.Time{},
			time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		roots.AddCert(parsed)
	}
	return roots, intermediates, nil
}

func reason(err error, at time.Time) string {
	invalid := x509.CertificateInvalidError{}
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired &&
		at.Before(invalid.Cert.NotBefore):
		return reasonNotYetValid
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return reasonExpired
	case errors.As(err, &x509.UnknownAuthorityError{}):
		return reasonUnknown
	default:
		return fmt.Sprintf(reasonOtherPattern, err)
	}
}
