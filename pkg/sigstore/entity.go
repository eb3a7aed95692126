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
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// entity is a parsed candidate in the form that the library verifies.
type entity struct {
	// payload is the signed document of cosign's old format. It is nil for a bundle.
	payload []byte

	content    verify.VerificationContent
	signature  verify.SignatureContent
	entries    []*tlog.Entry
	timestamps [][]byte
	version    string
}

var _ verify.SignedEntity = &entity{}

func (e *entity) VerificationContent() (verify.VerificationContent, error) { return e.content, nil }
func (e *entity) SignatureContent() (verify.SignatureContent, error) {
	return e.signature, nil
}
func (e *entity) TlogEntries() ([]*tlog.Entry, error) { return e.entries, nil }
func (e *entity) Timestamps() ([][]byte, error) {
	return e.timestamps, nil
}
func (e *entity) Version() (string, error) { return e.version, nil }

func (e *entity) HasInclusionPromise() bool {
	for _, entry := range e.entries {
		if entry.HasInclusionPromise() {
			return true
		}
	}
	return false
}

func (e *entity) HasInclusionProof() bool {
	for _, entry := range e.entries {
		if entry.HasInclusionProof() {
			return true
		}
	}
	return false
}

// read parses a candidate, and refuses one that cannot be a signature of the artifact.
func read(candidate *verification.Candidate, artifact verification.Artifact) (*entity, error) {
	switch {
	case len(candidate.Bundle) > 0 && len(candidate.Payload) > 0:
		return nil, errors.New("the candidate has a bundle and a payload, rather than one of them")
	case len(candidate.Bundle) > 0:
		return readBundle(candidate.Bundle, artifact)
	case len(candidate.Payload) == 0:
		return nil, errors.New("the candidate has neither a bundle nor a payload")
	case artifact.IsFile:
		return nil, errors.New("the payload signs an image, not a file")
	default:
		return readAnnotated(candidate)
	}
}

func readBundle(content []byte, artifact verification.Artifact) (*entity, error) {
	if err := bounded("the bundle", len(content), MaxBundleBytes); err != nil {
		return nil, err
	}
	if err := boundParts(content); err != nil {
		return nil, err
	}
	message := &protobundle.Bundle{}
	if err := protojson.Unmarshal(content, message); err != nil {
		return nil, wrap("the bundle cannot be read", err)
	}
	if err := boundMaterial(message.GetVerificationMaterial()); err != nil {
		return nil, err
	}
	b, err := bundle.NewBundle(message)
	if err != nil {
		return nil, wrap("the bundle cannot be read", err)
	}
	e := &entity{}
	var failed [5]error
	e.content, failed[0] = b.VerificationContent()
	e.signature, failed[1] = b.SignatureContent()
	e.entries, failed[2] = b.TlogEntries()
	e.timestamps, failed[3] = b.Timestamps()
	e.version, failed[4] = b.Version()
	if err := errors.Join(failed[:]...); err != nil {
		return nil, wrap("the bundle cannot be read", err)
	}
	if leaf := e.content.Certificate(); leaf != nil {
		if err := verification.CheckKey(leaf.PublicKey); err != nil {
			return nil, wrap("the certificate in the bundle", err)
		}
	}
	if err := bounded("the signature in the bundle", len(e.signature.Signature()),
		MaxSignatureBytes); err != nil {
		return nil, err
	}
	envelope := e.signature.EnvelopeContent()
	switch {
	case artifact.IsFile && envelope != nil:
		return nil, errors.New(
			"the bundle has a statement, not a signature of the file (cosign sign-blob makes one)")
	case !artifact.IsFile && envelope == nil:
		return nil, errors.New("the bundle signs a file, not an image")
	case artifact.IsFile:
		e.complete(artifact)
		return e, nil
	default:
		return e, bounded("the statement in the bundle", len(envelope.RawEnvelope().Payload)/4*3,
			MaxPayloadBytes)
	}
}

// complete adds the digest of a file with known content to a bundle without one. cosign omits the
// digest for Ed25519, and the library refuses such bundles, although the digest in a bundle is only
// a hint.
func (e *entity) complete(artifact verification.Artifact) {
	if message := e.signature.MessageSignatureContent(); artifact.Content != nil &&
		len(message.Digest()) == 0 {
		sum := sha256.Sum256(artifact.Content)
		e.signature = bundle.NewMessageSignature(sum[:], "sha256", message.Signature())
	}
}

// policy returns the artifact for the library to compare with the signature.
func (e *entity) policy(artifact verification.Artifact, digest []byte) verify.ArtifactPolicyOption {
	switch {
	case e.payload != nil:
		return verify.WithArtifact(bytes.NewReader(e.payload))
	case artifact.Content != nil:
		return verify.WithArtifact(bytes.NewReader(artifact.Content))
	default:
		return verify.WithArtifactDigest("sha256", digest)
	}
}

// digestOnly reports whether the library knows only the SHA-256 digest of the signed content.
func (e *entity) digestOnly(artifact verification.Artifact) bool {
	return e.signature.EnvelopeContent() == nil && e.payload == nil && artifact.Content == nil
}

// parseDigest parses an artifact's digest. If there is content, it must match the digest.
func parseDigest(artifact verification.Artifact) ([]byte, error) {
	text, found := strings.CutPrefix(artifact.Digest, "sha256:")
	digest, err := hex.DecodeString(text)
	if !found || err != nil || len(digest) != sha256.Size || strings.ToLower(text) != text {
		return nil, fmt.Errorf(
			"the artifact's digest is not sha256: and 64 hexadecimal digits in lower case: %q",
			oneLine(artifact.Digest))
	}
	if artifact.Content == nil {
		return digest, nil
	}
	if !artifact.IsFile {
		return nil, errors.New("an artifact with content is a file")
	}
	if sum := sha256.Sum256(artifact.Content); subtle.ConstantTimeCompare(sum[:], digest) == 0 {
		return nil, errors.New("the file's content is not that of its digest")
	}
	return digest, nil
}
