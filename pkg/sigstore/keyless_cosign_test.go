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
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/cosign"
)

// The real cosign signs keyless with an instance on loopback, and verifies as well.
func TestKeylessByCosign(t *testing.T) {
	c := cosign.New(t)
	i := newInstance(t)
	r := registry.Start(t, registry.Options{})
	c.Write("trusted_root.json", i.trustedRoot().json(t))
	c.Write("token", []byte(i.token()))
	c.Must("signing-config", "create", "--out", "keyless.json",
		"--fulcio",
		"url="+i.server.URL+",api-version=1,start-time=2024-01-01T00:00:00Z,operator=forge",
		"--oidc-provider",
		"url="+i.server.URL+",api-version=1,start-time=2024-01-01T00:00:00Z,operator=forge",
		"--rekor",
		"url="+i.server.URL+",api-version=2,start-time=2024-01-01T00:00:00Z,operator=forge",
		"--rekor-config", "ANY", "--tsa",
		"url="+i.server.URL+
			"/api/v1/timestamp,api-version=1,start-time=2024-01-01T00:00:00Z,operator=forge",
		"--tsa-config", "ANY")
	trusted, err := ParseRoot(c.Read("trusted_root.json"), time.Now())
	require.NoError(t, err)
	checker := New(func() *Root { return trusted })
	foreign := newForge(t).checker(t)

	const workflow = "https://github.com/owner/name/.github/workflows/release.yml@refs/tags/v1"
	for _, wanted := range []struct {
		name, subject string
		request       request
	}{
		{"email", testEmail, request{}},
		{"workflow", workflow,
			request{issuerV1: testIssuer, names: []asn1.RawValue{name(6, workflow)}}},
	} {
		t.Run(wanted.name, func(t *testing.T) {
			i.request = wanted.request
			digest := r.Push(t, wanted.name, "v1", []byte("\x00asm "+wanted.name))
			reference := r.Host + "/" + wanted.name + "@" + digest
			keyless := []string{
				"--yes", "--identity-token", "token", "--signing-config", "keyless.json",
				"--trusted-root", "trusted_root.json",
			}
			c.Must(
				append(append([]string{
					"sign", "--allow-http-registry", "--annotations", "env=prod",
				}, keyless...), reference)...)
			repository := r.Repository(t, wanted.name)
			manifest, err := repository.Resolve(t.Context(), "v1")
			require.NoError(t, err)
			found := 0
			for candidate, err := range discovery.Find(t.Context(), repository, manifest) {
				require.NoError(t, err)
				found++
				signed, err := checker.Keyless(t.Context(), candidate,
					verification.Artifact{Digest: digest})
				require.NoError(t, err)
				require.Equal(t, map[string]string{"env": "prod"}, signed.Annotations)
				require.Equal(t, &verification.CertificateIdentity{
					Issuer:   testIssuer,
					Subjects: []string{wanted.subject},
				}, signed.Identity)
				_, err = foreign.Keyless(t.Context(), candidate,
					verification.Artifact{Digest: digest})
				require.Error(t, err)
				// The log entry belongs to another signature.
				_, err = checker.Keyless(t.Context(), resigned(t, candidate),
					verification.Artifact{Digest: digest})
				require.ErrorContains(t, err,
					"not verified: the log does not prove that it contains this signature")
			}
			require.Equal(t, 1, found)
			for _, q := range []struct {
				subject, issuer, environment string
				accepted                     bool
			}{
				{wanted.subject, testIssuer, "prod", true},
				{wanted.subject, testIssuer, "test", false},
				{wanted.subject, testIssuer + "/", "prod", false},
				{wanted.subject, "https://login.example.com", "prod", false},
				{"boss@example.com", testIssuer, "prod", false},
				{wanted.subject[1:], testIssuer, "prod", false},
				{wanted.subject + "x", testIssuer, "prod", false},
				{strings.ToUpper(wanted.subject), testIssuer, "prod", false},
			} {
				theirs := c.Run("verify", "--allow-http-registry", "--use-signed-timestamps",
					"--trusted-root", "trusted_root.json", "--annotations", "env="+q.environment,
					"--certificate-identity", q.subject, "--certificate-oidc-issuer", q.issuer,
					reference)
				config, err :=
					verification.ParseConfig(mustJSON(t,
						map[string]any{"apiVersion": "v1", "allOf": []any{map[string]any{
							"kind": "genericIssuer", "issuer": q.issuer,
							"subject": map[string]string{
								"equal": q.subject,
							}, "annotations": map[string]string{"env": q.environment},
						}}}))
				require.NoError(t, err)
				ours := verification.Judge(t.Context(), checker, verification.Artifact{
					Digest: digest,
				}, discovery.Find(t.Context(), repository, manifest),
					verification.Demand{Name: "demand", Config: config})
				require.Equal(t, q.accepted, theirs == nil, "%v: cosign: %v", q, theirs)
				require.Equal(t, q.accepted, ours == nil, "%v: ours: %v", q, ours)
			}

			identity := []string{
				"--certificate-identity", wanted.subject, "--certificate-oidc-issuer", testIssuer,
				"--trusted-root", "trusted_root.json",
			}
			content := []byte("\x00asm file")
			c.Write("file", content)
			c.Must(append(append([]string{"sign-blob", "--bundle", "file.json"}, keyless...),
				"file")...)
			require.NoError(t,
				c.Run(
					append(append([]string{
						"verify-blob", "--bundle", "file.json", "--use-signed-timestamps",
					}, identity...), "file")...))
			for _, file := range []verification.Artifact{{
				Digest: digestOf(string(content)), IsFile: true,
			}, {Digest: digestOf(string(content)), IsFile: true, Content: content}} {
				signed, err := checker.Keyless(t.Context(),
					&verification.Candidate{Bundle: c.Read("file.json")}, file)
				require.NoError(t, err)
				require.Equal(t, []string{wanted.subject}, signed.Identity.Subjects)
			}
			_, err = checker.Keyless(t.Context(), &verification.Candidate{
				Bundle: c.Read("file.json"),
			}, verification.Artifact{Digest: digestOf("another"), IsFile: true})
			require.Error(t, err)
		})
	}
}

// resigned replaces the signature in a candidate's bundle.
func resigned(t *testing.T, candidate *verification.Candidate) *verification.Candidate {
	t.Helper()
	var b protobundle.Bundle
	require.NoError(t, protojson.Unmarshal(candidate.Bundle, &b))
	signature := b.GetDsseEnvelope().GetSignatures()[0]
	signature.Sig = flip(signature.GetSig())
	content, err := protojson.Marshal(&b)
	require.NoError(t, err)
	return &verification.Candidate{Place: candidate.Place, Bundle: content}
}

// cosign also accepts the signatures in the old format that the forge creates.
func TestCosignAcceptsTheForge(t *testing.T) {
	c := cosign.New(t)
	f, r := newForge(t), registry.Start(t, registry.Options{})
	c.Write("trusted_root.json", f.parts().json(t))
	digest := r.Push(t, "annotated", "v1", []byte("\x00asm annotated"))
	leaf, key := f.leaf(t, request{})
	made := f.annotated(t, leaf, key, simpleSigning(t, digest, map[string]any{"env": "prod"}),
		time.Now())
	layer := r.PushBlob(t, "annotated", "application/vnd.dev.cosign.simplesigning.v1+json",
		made.Payload)
	layer.Annotations = map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(made.Signature),
		"dev.sigstore.cosign/certificate":    string(made.Certificate),
		"dev.sigstore.cosign/chain":          string(made.Chain),
		"dev.sigstore.cosign/bundle":         string(made.RekorBundle),
	}
	signatures := registry.Manifest(layer)
	signatures.MediaType = ocispec.MediaTypeImageManifest
	r.PushManifest(t, "annotated", strings.Replace(digest, ":", "-", 1)+".sig", signatures)
	require.NoError(t,
		c.Run("verify", "--allow-http-registry", "--trusted-root", "trusted_root.json",
			"--annotations", "env=prod", "--certificate-identity", testEmail,
			"--certificate-oidc-issuer", testIssuer, r.Host+"/annotated@"+digest))

	repository := r.Repository(t, "annotated")
	manifest, err := repository.Resolve(t.Context(), "v1")
	require.NoError(t, err)
	found := 0
	for candidate, err := range discovery.Find(t.Context(), repository, manifest) {
		require.NoError(t, err)
		found++
		_, err = f.checker(t).Keyless(t.Context(), candidate, verification.Artifact{Digest: digest})
		require.NoError(t, err)
	}
	require.Equal(t, 1, found)
}

// cosign attaches a certificate from a private authority to a signature by a key.
func TestCertificateByCosign(t *testing.T) {
	c := cosign.New(t)
	f, foreign, r := newForge(t), newForge(t), registry.Start(t, registry.Options{})
	leaf, key := f.leaf(t, request{})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	c.Write("own.pem", pemOf("PRIVATE KEY", private))
	c.Must("import-key-pair", "--key", "own.pem", "--output-key-prefix", "own")
	c.Write("own.crt", pemOf("CERTIFICATE", leaf.Raw))
	chain, foreignChain := [][]byte{f.authority.Raw, f.top.Raw},
		[][]byte{foreign.authority.Raw, foreign.top.Raw}
	for name, chain := range map[string][][]byte{"chain.crt": chain, "foreign.crt": foreignChain} {
		c.Write(name, append(pemOf("CERTIFICATE", chain[0]), pemOf("CERTIFICATE", chain[1])...))
	}
	digest := r.Push(t, "certified", "v1", []byte("\x00asm certified"))
	reference := r.Host + "/certified@" + digest
	c.Sign("own", reference, true, "--certificate", "own.crt", "--certificate-chain", "chain.crt")
	theirs := func(chain string) error {
		return c.Run("verify", "--allow-http-registry", "--insecure-ignore-tlog",
			"--insecure-ignore-sct", "--certificate", "own.crt", "--certificate-chain", chain,
			"--certificate-identity", testEmail, "--certificate-oidc-issuer", testIssuer, reference)
	}
	require.NoError(t, theirs("chain.crt"))
	require.Error(t, theirs("foreign.crt"))

	repository := r.Repository(t, "certified")
	manifest, err := repository.Resolve(t.Context(), "v1")
	require.NoError(t, err)
	found := 0
	for candidate, err := range discovery.Find(t.Context(), repository, manifest) {
		require.NoError(t, err)
		found++
		artifact := verification.Artifact{Digest: digest}
		_, err := New(nil).Certificate(t.Context(), candidate, artifact, c.Read("own.crt"), chain,
			false)
		require.NoError(t, err)
		_, err = New(nil).Certificate(t.Context(), candidate, artifact, c.Read("own.crt"),
			foreignChain, false)
		require.Error(t, err)
		_, err = f.checker(t).Certificate(t.Context(), candidate, artifact, c.Read("own.crt"),
			chain, true)
		require.ErrorContains(t, err, "not enough verified log entries")
		_, err = f.checker(t).Keyless(t.Context(), candidate, artifact)
		require.Error(t, err, "no log has seen it")
	}
	require.Equal(t, 1, found)
}
