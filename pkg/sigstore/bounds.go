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
	"errors"
	"fmt"
	"slices"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
)

// Bounds on what a candidate consists of. All of it comes from a registry, or lies beside a module.
const (
	// MaxBundleBytes bounds a Sigstore bundle.
	MaxBundleBytes = 1 << 20
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

// proposals are keys in the body of an entry that has not been entered yet. The library would verify every signature in
// it with every key in it.
var proposals = [][]byte{[]byte(`"proposedcontent"`), []byte(`"payload"`)}

// boundBody bounds the body of an entry of a log, and refuses what is no body that a log writes.
func boundBody(body []byte) error {
	if err := bounded("the body of a log entry", len(body), MaxLogBodyBytes); err != nil {
		return err
	}
	// Logs write base64 and names. Without escapes and other alphabets a key cannot be written in two ways.
	if slices.ContainsFunc(body, func(b byte) bool { return b == '\\' || b < ' ' || b > '~' }) {
		return errors.New("the body of a log entry is not in canonical form")
	}
	lower := bytes.ToLower(body)
	if slices.ContainsFunc(proposals, func(key []byte) bool { return bytes.Contains(lower, key) }) {
		return errors.New("the body of a log entry is that of a proposal, rather than of an entry")
	}
	return nil
}
