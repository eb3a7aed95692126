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
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// annotatedVersion makes the library also try SHA-256 for certificates on P-384 and P-521, because
// cosign 2 signed with it.
const annotatedVersion = "v0.1"

// readAnnotated builds an entity from the annotations of a layer that cosign 2 wrote. The payload
// is the signed document. Certificate and log entry go where a bundle has them.
func readAnnotated(candidate *verification.Candidate) (*entity, error) {
	if err := errors.Join(
		bounded("the payload", len(candidate.Payload), MaxPayloadBytes),
		bounded("the signature", len(candidate.Signature), MaxSignatureBytes),
		bounded("the certificate", len(candidate.Certificate), MaxCertificateBytes),
		bounded("the chain", len(candidate.Chain), MaxChainCertificates*MaxCertificateBytes),
		bounded("the log entry", len(candidate.RekorBundle), 2*MaxLogBodyBytes),
	); err != nil {
		return nil, err
	}
	if len(candidate.Signature) == 0 {
		return nil, errors.New("the payload has no signature")
	}
	e := &entity{payload: candidate.Payload, version: annotatedVersion}
	algorithm := "sha256"
	if len(candidate.RekorBundle) > 0 {
		entry, err := readLogEntry(candidate.RekorBundle)
		if err != nil {
			return nil, wrap("the log entry beside the payload cannot be read", err)
		}
		e.entries = []*tlog.Entry{entry}
		if _, logged, ok := entry.GetHashedRekordDigest(); ok {
			algorithm = logged
		}
	}
	digest, err := hashed(candidate.Payload, algorithm)
	if err != nil {
		return nil, wrap("the log entry beside the payload", err)
	}
	e.signature = bundle.NewMessageSignature(digest, algorithm, candidate.Signature)
	e.content, err = readCertificate(candidate)
	return e, err
}

func hashed(payload []byte, algorithm string) ([]byte, error) {
	hash, known := map[string]crypto.Hash{
		"sha256": crypto.SHA256,
		"sha384": crypto.SHA384,
		"sha512": crypto.SHA512,
	}[algorithm]
	if !known {
		return nil, fmt.Errorf("the hash %q is not known", algorithm)
	}
	h := hash.New()
	_, _ = h.Write(payload) // a hash never fails
	return h.Sum(nil), nil
}

// annotatedCertificate is a certificate with its intermediates.
type annotatedCertificate struct {
	verify.VerificationContent
	intermediates []*x509.Certificate
}

func (c *annotatedCertificate) Intermediates() []*x509.Certificate { return c.intermediates }

func readCertificate(candidate *verification.Candidate) (verify.VerificationContent, error) {
	if len(candidate.Certificate) == 0 {
		return &withoutCertificate{}, nil
	}
	leaf, err := parseCertificates("the certificate beside the payload", candidate.Certificate, 1)
	if err != nil {
		return nil, err
	}
	content := &annotatedCertificate{VerificationContent: bundle.NewCertificate(leaf[0])}
	if len(candidate.Chain) == 0 {
		return content, nil
	}
	chain, err := parseCertificates("the chain beside the payload", candidate.Chain,
		MaxChainCertificates)
	if err != nil {
		return nil, err
	}
	for _, c := range chain {
		// Roots come only from the trust root.
		if c.IsCA && string(c.RawSubject) != string(c.RawIssuer) {
			content.intermediates = append(content.intermediates, c)
		}
	}
	return content, nil
}

// rekorBundle is the annotation dev.sigstore.cosign/bundle.
type rekorBundle struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

func readLogEntry(content []byte) (*tlog.Entry, error) {
	var b rekorBundle
	if err := json.Unmarshal(content, &b); err != nil {
		return nil, err
	}
	logID, err := hex.DecodeString(b.Payload.LogID)
	if err != nil {
		return nil, fmt.Errorf("logID: %w", err)
	}
	var kind struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal(b.Payload.Body, &kind); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	if len(b.SignedEntryTimestamp) == 0 || b.Payload.IntegratedTime <= 0 {
		return nil, errors.New("it is not signed, or has no time")
	}
	if err := boundBody(b.Payload.Body); err != nil {
		return nil, err
	}
	return tlog.ParseTransparencyLogEntry(&protorekor.TransparencyLogEntry{
		LogIndex: b.Payload.LogIndex,
		LogId:    &protocommon.LogId{KeyId: logID},
		KindVersion: &protorekor.KindVersion{
			Kind:    strings.ToLower(kind.Kind),
			Version: kind.APIVersion,
		},
		IntegratedTime: b.Payload.IntegratedTime,
		InclusionPromise: &protorekor.InclusionPromise{
			SignedEntryTimestamp: b.SignedEntryTimestamp,
		},
		CanonicalizedBody: b.Payload.Body,
	})
}
