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

// Package signing signs modules for tests with keys, in cosign's formats. It uses only the standard
// library.
package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/registry"
)

// PredicateType is the predicate type of statements that are signatures.
const PredicateType = "https://sigstore.dev/cosign/sign/v1"

const payloadType = "application/vnd.in-toto+json"

// Key is a signing key.
type Key struct {
	private *ecdsa.PrivateKey
	// PEM is the public key in PEM.
	PEM string
}

// NewKey generates a P-256 key.
func NewKey(t testing.TB) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(t, err)
	return &Key{
		private: private,
		PEM:     string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}
}

// Config returns a verification config that requires a signature by this key, with annotations of
// the form "name: value".
func (k *Key) Config(annotations ...string) string {
	return fmt.Sprintf(
		`{"apiVersion": "v1", "allOf": [{"kind": "pubKey", "key": %q, "annotations": {%s}}]}`,
		k.PEM, strings.Join(annotations, ", "))
}

func (k *Key) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, sum[:])
	require.NoError(t, err)
	return signature
}

// Layer returns a layer that signs a manifest, as cosign 2 puts it into a signature image.
func (k *Key) Layer(t testing.TB, manifest string, annotations map[string]string) registry.Layer {
	t.Helper()
	payload := marshal(t, map[string]any{
		"critical": map[string]any{
			"identity": map[string]any{"docker-reference": "registry.example.com/policy"},
			"image":    map[string]any{"docker-manifest-digest": manifest},
			"type":     "cosign container image signature",
		},
		"optional": annotations,
	})
	return registry.Layer{Payload: payload, Annotations: map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(k.sign(t, payload)),
	}}
}

// Bundle returns a bundle that signs a manifest, as cosign 3 attaches it.
func (k *Key) Bundle(t testing.TB, manifest string, annotations map[string]string) []byte {
	t.Helper()
	return k.Statement(t, manifest, PredicateType, annotations)
}

// Statement returns a bundle with a statement about a manifest. The statement is a signature if its
// predicate type is [PredicateType].
func (k *Key) Statement(t testing.TB, manifest, predicateType string,
	annotations map[string]string) []byte {
	t.Helper()
	payload := StatementPayload(t, manifest, predicateType, annotations)
	encoded := fmt.Sprintf("DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload),
		payload)
	return bundle(t, "dsseEnvelope", map[string]any{
		"payload": payload, "payloadType": payloadType,
		"signatures": []any{map[string]any{"sig": k.sign(t, []byte(encoded))}},
	})
}

// StatementPayload returns an unsigned statement about a manifest.
func StatementPayload(t testing.TB, manifest, predicateType string,
	annotations map[string]string) []byte {
	t.Helper()
	subject := map[string]any{
		"digest": map[string]any{"sha256": strings.TrimPrefix(manifest, "sha256:")},
	}
	if annotations != nil {
		subject["annotations"] = annotations
	}
	return marshal(t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "subject": []any{subject},
		"predicateType": predicateType, "predicate": map[string]any{},
	})
}

// FileBundle returns a bundle that signs content, as cosign sign-blob --bundle writes it.
func (k *Key) FileBundle(t testing.TB, content []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(content)
	return bundle(t, "messageSignature", map[string]any{
		"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": sum[:]},
		"signature":     k.sign(t, content),
	})
}

func bundle(t testing.TB, name string, content any) []byte {
	t.Helper()
	return marshal(t, map[string]any{
		"mediaType":            registry.BundleMediaType,
		"verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "none"}},
		name:                   content,
	})
}

func marshal(t testing.TB, object any) []byte {
	t.Helper()
	content, err := json.Marshal(object)
	require.NoError(t, err)
	return content
}
