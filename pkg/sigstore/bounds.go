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

// Bounds on what a candidate consists of. All of it comes from a registry, or lies beside a module.
const (
	// MaxBundleBytes bounds a Sigstore bundle, which has some ten thousand bytes.
	MaxBundleBytes = 256 << 10
	// maxBundleParts bounds what a bundle consists of, by its commas and brackets: reading one that is nothing else takes a
	// second for a mebibyte. One within all bounds has a few hundred.
	maxBundleParts = 1024
	// MaxPayloadBytes bounds a document in the simple signing format, and the statement in a bundle.
	MaxPayloadBytes = 64 << 10
	// MaxSignatureBytes bounds a signature; one by RSA with 8192 bits has 1024.
	MaxSignatureBytes = 2 << 10
	// MaxCertificateBytes bounds a certificate, in PEM or DER.
	MaxCertificateBytes = 64 << 10
	// MaxChainCertificates bounds the number of certificates in a chain.
	MaxChainCertificates = 10
	// MaxLogEntries bounds the number of entries of transparency logs.
	MaxLogEntries = 4
	// MaxLogBodyBytes bounds the body of an entry of a transparency log: a signature, and the certificate or key.
	MaxLogBodyBytes = 16 << 10
	// MaxLogProofHashes bounds the hashes that prove that an entry is in a log; a tree with 2^64 entries needs 64.
	MaxLogProofHashes = 64
	// MaxTimestamps bounds the number of signed timestamps.
	MaxTimestamps = 4
	// MaxTimestampBytes bounds a signed timestamp, certificates included.
	MaxTimestampBytes = 8 << 10
	// maxTimestampDepth bounds how deep a signed timestamp is nested; real ones are half as deep.
	maxTimestampDepth = 24
	// MaxKeyBytes bounds a public key in PEM.
	MaxKeyBytes = 16 << 10
	// MaxRootBytes bounds a trust root.
	MaxRootBytes = 4 << 20
)

// bounded refuses what is too large.
func bounded(what string, size, limit int) error {
	if size > limit {
		return fmt.Errorf("%s has %d bytes, at most %d are read", what, size, limit)
	}
	return nil
}

// counted refuses what is too many.
func counted(what string, count, limit int) error {
	if count > limit {
		return fmt.Errorf("the bundle has %d %s, at most %d are read", count, what, limit)
	}
	return nil
}

// boundParts bounds what a bundle consists of.
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

// isShallow says whether DER is nested no deeper than levels.
func isShallow(der cryptobyte.String, levels int) bool {
	for !der.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if !der.ReadAnyASN1(&content, &tag) {
			return false
		}
		if isConstructed := tag&0x20 != 0; isConstructed && (levels == 0 || !isShallow(content, levels-1)) {
			return false
		}
	}
	return true
}

// boundMaterial bounds what a bundle has beside its signature, before the library reads it: reading an entry of a log
// verifies a signature with the key in it, and reading a timestamp descends as deep as whoever made it likes, at a cost
// that is the square of that.
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
		if err := bounded("a certificate in the bundle", len(c.GetRawBytes()), MaxCertificateBytes); err != nil {
			return err
		}
	}
	for _, timestamp := range timestamps {
		if err := bounded("a timestamp in the bundle", len(timestamp.GetSignedTimestamp()), MaxTimestampBytes); err != nil {
			return err
		}
		if !isShallow(timestamp.GetSignedTimestamp(), maxTimestampDepth) {
			return fmt.Errorf("a timestamp in the bundle is no DER, or is nested more than %d deep", maxTimestampDepth)
		}
	}
	for _, entry := range material.GetTlogEntries() {
		if err := counted("hashes in the proof of a log entry", len(entry.GetInclusionProof().GetHashes()), MaxLogProofHashes); err != nil {
			return err
		}
		if err := boundBody(entry.GetCanonicalizedBody()); err != nil {
			return err
		}
	}
	return nil
}
