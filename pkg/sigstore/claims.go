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
	"encoding/json"
	"errors"
	"fmt"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// signaturePredicate is the predicate type of statements that are signatures. All other statements
// are attestations, which may say anything about an image, even that it is malicious.
const signaturePredicate = "https://sigstore.dev/cosign/sign/v1"

// claims returns the annotations of a verified entity. It refuses an entity that is not a signature
// of the artifact.
func (e *entity) claims(statement *intoto.Statement,
	artifact verification.Artifact) (map[string]string, error) {
	switch {
	case e.payload != nil:
		return payloadClaims(e.payload, artifact.Digest)
	case artifact.IsFile:
		return nil, nil
	case statement == nil:
		return nil, errors.New("the bundle has no statement")
	default:
		return statementClaims(statement, artifact.Digest)
	}
}

// payloadClaims parses a document in the simple signing format.
func payloadClaims(content []byte, digest string) (map[string]string, error) {
	var document payload.SimpleContainerImage
	if err := json.Unmarshal(content, &document); err != nil {
		return nil, fmt.Errorf("the payload cannot be read: %w", err)
	}
	if document.Critical.Type != payload.CosignSignatureType {
		return nil, fmt.Errorf("the payload is a %q, not a %q", document.Critical.Type,
			payload.CosignSignatureType)
	}
	if signed := document.Critical.Image.DockerManifestDigest; signed != digest {
		return nil, fmt.Errorf("the payload is about another artifact, %q", signed)
	}
	return onlyStrings(document.Optional), nil
}

// statementClaims parses a statement. The statement must have exactly one subject. Annotations
// belong to a subject, and with several subjects, the statement's author could choose which ones
// count.
func statementClaims(statement *intoto.Statement, digest string) (map[string]string, error) {
	if statement.GetPredicateType() != signaturePredicate {
		return nil, fmt.Errorf(
			"the statement is an attestation, not a signature: its predicate type is %q, not %q",
			statement.GetPredicateType(), signaturePredicate)
	}
	if statement.GetType() != intoto.StatementTypeUri {
		return nil, fmt.Errorf("the statement has type %q, not %q", statement.GetType(),
			intoto.StatementTypeUri)
	}
	if len(statement.GetSubject()) != 1 {
		return nil, fmt.Errorf(
			"the statement has %d subjects, not one", len(statement.GetSubject()))
	}
	subject := statement.GetSubject()[0]
	if signed := "sha256:" + subject.GetDigest()["sha256"]; signed != digest {
		return nil, fmt.Errorf("the statement is about another artifact, %q", signed)
	}
	return onlyStrings(subject.GetAnnotations().AsMap()), nil
}

func onlyStrings(all map[string]any) map[string]string {
	annotations := make(map[string]string, len(all))
	for key, value := range all {
		if text, ok := value.(string); ok {
			annotations[key] = text
		}
	}
	return annotations
}
