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

// Package keyless signs modules for tests with identities, through an in-process instance of
// Sigstore.
package keyless

import (
	"encoding/hex"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

// Instance is an instance of Sigstore: a certificate authority, a log and a timestamp authority.
type Instance struct{ virtual *ca.VirtualSigstore }

// New returns an instance with new keys, which nobody trusts yet.
func New(t testing.TB) *Instance {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	require.NoError(t, err)
	return &Instance{virtual}
}

// TrustedRoot returns the instance's trusted_root.json.
func (i *Instance) TrustedRoot(t testing.TB) []byte {
	t.Helper()
	logs := i.virtual.RekorLogs()
	for id, log := range logs {
		log.ID, _ = hex.DecodeString(id) // the library stores hexadecimal digits
	}
	r, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		i.virtual.FulcioCertificateAuthorities(), nil, i.virtual.TimestampingAuthorities(), logs)
	require.NoError(t, err)
	content, err := r.MarshalJSON()
	require.NoError(t, err)
	return content
}

// ClientTrustConfig returns the instance's ClientTrustConfig, in the form that Kubewarden accepts.
func (i *Instance) ClientTrustConfig(t testing.TB) []byte {
	t.Helper()
	return append(
		append(
			[]byte(
				`{"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json", "trustedRoot": `),
			i.TrustedRoot(t)...),
		'}')
}

// Bundle returns a bundle that signs a manifest, as cosign 3 attaches it. The signer is an email
// address at an issuer.
func (i *Instance) Bundle(t testing.TB, email, issuer, manifest string,
	annotations map[string]string) []byte {
	t.Helper()
	made, err := i.virtual.AttestHashedRekordV2(email, issuer,
		signing.StatementPayload(t, manifest, signing.PredicateType, annotations))
	require.NoError(t, err)
	content, err := made.VerificationContent()
	require.NoError(t, err)
	signature, err := made.SignatureContent()
	require.NoError(t, err)
	entries, err := made.TlogEntries()
	require.NoError(t, err)
	timestamps, err := made.Timestamps()
	require.NoError(t, err)
	envelope := signature.EnvelopeContent().RawEnvelope()
	payload, err := envelope.DecodeB64Payload()
	require.NoError(t, err)
	bundle, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: registry.BundleMediaType,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: payload, PayloadType: envelope.PayloadType,
			Signatures: []*protodsse.Signature{{Sig: signature.Signature()}},
		}},
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{
				Certificate: &protocommon.X509Certificate{RawBytes: content.Certificate().Raw},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{
				entries[0].TransparencyLogEntry(),
			},
			TimestampVerificationData: &protobundle.TimestampVerificationData{
				Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: timestamps[0]}},
			},
		},
	})
	require.NoError(t, err)
	return bundle
}
