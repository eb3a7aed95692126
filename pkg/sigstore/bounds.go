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
	"errors"
	"fmt"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds on the parts of a candidate. All of them come from a registry, or from a file beside a
// module.
const (
	// MaxBundleBytes bounds a Sigstore bundle. Typical bundles have about 10,000 bytes.
	MaxBundleBytes = 256 << 10
	// maxBundleParts bounds the parts of a bundle, which its commas and brackets delimit. A bundle
	// of 1 MiB that consists only of these takes a second to parse. A bundle within all bounds has
	// a few hundred.
	maxBundleParts = 1024
	// MaxPayloadBytes bounds a document in the simple signing format, and the statement in a
	// bundle.
	MaxPayloadBytes = 64 << 10
	// MaxSignatureBytes bounds a signature. A signature by an RSA key of 8192 bits has 1024 bytes.
	MaxSignatureBytes = 2 << 10
	// MaxCertificateBytes bounds a certificate, in PEM or DER.
	MaxCertificateBytes = 64 << 10
	// MaxChainCertificates bounds the number of certificates in a chain.
	MaxChainCertificates = 10
	// MaxLogEntries bounds the number of transparency log entries.
	MaxLogEntries = 4
	// MaxLogBodyBytes bounds the body of a transparency log entry: a signature, and the certificate
	// or key.
	MaxLogBodyBytes = 16 << 10
	// MaxLogProofHashes bounds the hashes of an inclusion proof. A tree with 2^64 entries needs 64.
	MaxLogProofHashes = 64
	// MaxTimestamps bounds the number of signed timestamps.
	MaxTimestamps = 4
	// MaxTimestampBytes bounds a signed timestamp, including its certificates.
	MaxTimestampBytes = 8 << 10
	// maxTimestampDepth bounds the nesting of a signed timestamp. Real timestamps nest half as
	// deep.
	maxTimestampDepth = 24
	// MaxKeyBytes bounds a public key in PEM.
	MaxKeyBytes = 16 << 10
	// MaxRootBytes bounds a trust root.
	MaxRootBytes = 4 << 20
)

// bounded returns an error if a size exceeds its limit.
func bounded(what string, size, limit int) error {
	if size > limit {
		return fmt.Errorf("%s has %d bytes, at most %d are read", what, size, limit)
	}
	return nil
}

// counted returns an error if a number exceeds its limit.
func counted(what string, count, limit int) error {
	if count > limit {
		return fmt.Errorf("the bundle has %d %s, at most %d are read", count, what, limit)
	}
	return nil
}

// boundParts checks the number of parts of a bundle.
func boundParts(content []byte) error {
	parts := 0
	for _, b := range content {
		if b == ',' || b == '{' || b == '[' {
			parts++
		}
	}
	if parts > maxBundleParts {
		return fmt.Errorf("the bundle has %d parts, at most %d are read", parts, maxBundleParts)
	}
	return nil
}

// isShallow reports whether DER is nested no deeper than levels.
func isShallow(der cryptobyte.String, levels int) bool {
	for !der.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if !der.ReadAnyASN1(&content, &tag) {
			return false
		}
		if isConstructed := tag&0x20 != 0; isConstructed &&
			(levels == 0 || !isShallow(content, levels-1)) {
			return false
		}
	}
	return true
}

// boundMaterial checks the parts of a bundle beside its signature before the library parses them.
// To parse a log entry, the library verifies a signature with a key from the entry. To parse a
// timestamp, it recurses as deep as the author of the timestamp chose, at quadratic cost.
func boundMaterial(material *protobundle.VerificationMaterial) error {
	certificates := material.GetX509CertificateChain().GetCertificates()
	if c := material.GetCertificate(); c != nil {
		certificates = append(slices.Clone(certificates), c)
	}
	timestamps := material.GetTimestampVerificationData().GetRfc3161Timestamps()
	if err := errors.Join(
		counted("certificates", len(certificates), MaxChainCertificates),
		counted("log entries", len(material.GetTlogEntries()), MaxLogEntries),
		counted("timestamps", len(timestamps), MaxTimestamps),
	); err != nil {
		return err
	}
	for _, c := range certificates {
		if err := bounded("a certificate in the bundle", len(c.GetRawBytes()),
			MaxCertificateBytes); err != nil {
			return err
		}
	}
	for _, timestamp := range timestamps {
		if err := bounded("a timestamp in the bundle", len(timestamp.GetSignedTimestamp()),
			MaxTimestampBytes); err != nil {
			return err
		}
		if !isShallow(timestamp.GetSignedTimestamp(), maxTimestampDepth) {
			return fmt.Errorf(
				"a timestamp in the bundle is not DER, or is nested more than %d deep",
				maxTimestampDepth)
		}
	}
	for _, entry := range material.GetTlogEntries() {
		if err := counted("hashes in the proof of a log entry",
			len(entry.GetInclusionProof().GetHashes()), MaxLogProofHashes); err != nil {
			return err
		}
		if err := boundBody(entry.GetCanonicalizedBody()); err != nil {
			return err
		}
	}
	return nil
}
