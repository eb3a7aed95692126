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

package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

// Paths in a bundle.
var (
	certificateWay = []step{"verificationMaterial", "certificate", "rawBytes"}
	entryWay       = []step{"verificationMaterial", "tlogEntries", 0}
	timestampWay   = []step{
		"verificationMaterial", "timestampVerificationData", "rfc3161Timestamps", 0,
		"signedTimestamp",
	}
)

// document decodes JSON.
func (s *suite) document(content []byte) (v any) {
	require.NoError(s, json.Unmarshal(content, &v))
	return v
}

// signature returns the signature of a bundle.
func (s *suite) signature(bundle []byte) []byte {
	way := []step{"messageSignature", "signature"}
	if !bytes.Contains(bundle, []byte("messageSignature")) {
		way = []step{"dsseEnvelope", "signatures", 0, "sig"}
	}
	content, err := base64.StdEncoding.DecodeString(s.at(bundle, way...).(string)) //nolint:forcetypeassert // cosign wrote it
	require.NoError(s, err)
	return content
}

// timestampOf returns the timestamp that an authority with the keys would issue for a signature at
// a time.
func (s *suite) timestampOf(signature []byte, at time.Time, keys *instance.Keys) string {
	sum := sha256.Sum256(signature)
	stamp := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: at,
		Policy:       asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
		SerialNumber: big.NewInt(at.Unix()), AddTSACertificate: true,
	}
	response, err := stamp.CreateResponseWithOpts(keys.TimestampAuthority, keys.Timestamps,
		crypto.SHA256)
	require.NoError(s, err)
	return base64.StdEncoding.EncodeToString(response)
}

// certificate returns a certificate with a new key for an email address, issued by an authority
// like Fulcio's.
func (s *suite) certificate(keys *instance.Keys, change func(*x509.Certificate)) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(s, err)
	issuer, err := asn1.MarshalWithParams(s.instance.Issuer.URL, "utf8")
	require.NoError(s, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(10 * time.Minute), EmailAddresses: []string{email},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{{
			Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer,
		}},
	}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, keys.FulcioAuthority, key.Public(),
		keys.Fulcio)
	require.NoError(s, err)
	return base64.StdEncoding.EncodeToString(der)
}

// materials adds bundles whose certificate, log entry or timestamp belongs to another signature, or
// was created at another time.
func (x *table) materials(b subjects, foreign *instance.Keys) {
	type subject struct {
		what       string
		good, more signed
	}
	for _, of := range []subject{
		{"image by address", b.emailBundle, x.image(x.other, x.wasm, x.byEmail(email), false)},
		{"image by workflow", b.workflowBundle,
			x.image(x.plain, x.wasm, x.byWorkflow(owner+"/"+repository, workflow, ref), false)},
		{"file by address", b.emailFile, x.file(x.wasm, x.byEmail(email))},
		{"file by workflow", b.workflowFile,
			x.file(x.wasm, x.byWorkflow(owner+"/"+repository, workflow, ref))},
	} {
		change := func(what, want string, value any, way ...step) {
			m := of.good
			m.bundle = x.put(of.good.bundle, value, way...)
			x.refuse(of.what+": "+what, want, m)
		}
		signature, others := x.signature(of.good.bundle), x.signature(of.more.bundle)
		own, now := x.instance.Keys, time.Now()
		change("certificate of a later signature", "", x.at(of.more.bundle, certificateWay...),
			certificateWay...)
		change("certificate of another authority", "",
			x.certificate(foreign, func(*x509.Certificate) {}), certificateWay...)
		change("certificate that no log has seen", "",
			x.certificate(own, func(*x509.Certificate) {}), certificateWay...)
		change("expired certificate", "", x.certificate(own, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour)
		}), certificateWay...)
		change("certificate of a server", "",
			x.certificate(own, func(c *x509.Certificate) {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			}), certificateWay...)
		change("certificate of a workflow in place of an address", "",
			x.certificate(own, func(c *x509.Certificate) {
				c.EmailAddresses, c.URIs = nil,
					[]*url.URL{{
						Scheme: "https", Host: "github.com",
						Path: "/example/policies/.github/workflows/release.yml@refs/tags/v1",
					}}
			}), certificateWay...)
		change("certificate of the authority itself", "",
			base64.StdEncoding.EncodeToString(own.FulcioAuthority.Raw), certificateWay...)
		change("entry of a later signature", "", x.at(of.more.bundle, entryWay...), entryWay...)
		change("entry twice", "", []any{
			x.at(of.good.bundle, entryWay...),
			x.at(of.good.bundle, entryWay...),
		}, "verificationMaterial", "tlogEntries")
		change("timestamp of a later signature", "", x.at(of.more.bundle, timestampWay...),
			timestampWay...)
		change("timestamp after the certificate expired", "",
			x.timestampOf(signature, now.Add(time.Hour), own), timestampWay...)
		change("timestamp before the certificate was valid", "",
			x.timestampOf(signature, now.Add(-time.Hour), own), timestampWay...)
		change("timestamp of another authority", "", x.timestampOf(signature, now, foreign),
			timestampWay...)
		change("timestamp of something else", "", x.timestampOf(others, now, own), timestampWay...)
	}
}

// demands adds valid signatures that do not meet the requirements.
func (x *table) demands(b subjects) {
	key, mail, flow, file := x.deploy(b.keyBundle), x.deploy(b.emailBundle),
		x.deploy(b.workflowBundle), x.deploy(b.workflowFile)
	layer, mailFile, mailLayer, flowLayer := x.deploy(b.keyLayer), x.deploy(b.emailFile),
		x.deploy(b.emailLayer), x.deploy(b.workflowLayer)
	issuer, subject := x.instance.Issuer.URL,
		"https://github.com/example/policies/.github/workflows/release.yml@refs/tags/v1"
	equal := func(issuer, subject string) map[string]any {
		return x.fromIssuer(issuer, map[string]string{"equal": subject})
	}
	prefix := func(issuer, url string) map[string]any {
		return x.fromIssuer(issuer, map[string]string{"urlPrefix": url})
	}
	with := func(demand map[string]any, name, value string) map[string]any {
		more := map[string]any{"annotations": map[string]string{name: value}}
		for field, value := range demand {
			more[field] = value
		}
		return more
	}
	for _, one := range []struct {
		what, module, want string
		demands            []map[string]any
	}{
		{"image by key: another key", key, "not by key",
			[]map[string]any{x.byKey("second", false).demand}},
		{"image by key: another key too", key, "meets allOf[1]",
			[]map[string]any{b.keyBundle.demand, x.byKey("second", false).demand}},
		{"image by key: an address", key, "by a key, not by a certificate",
			[]map[string]any{equal(issuer, email)}},
		{"image by key: another value", key, `to be "test"`,
			[]map[string]any{with(b.keyBundle.demand, "env", "test")}},
		{"image by key: a longer value", key, `to be "production"`,
			[]map[string]any{with(b.keyBundle.demand, "env", "production")}},
		{"image by key: a value in capitals", key, `to be "PROD"`,
			[]map[string]any{with(b.keyBundle.demand, "env", "PROD")}},
		{"image by key: an empty value", key, `to be ""`,
			[]map[string]any{with(b.keyBundle.demand, "env", "")}},
		{"image by key: another annotation", key, "the signature does not cover",
			[]map[string]any{with(b.keyBundle.demand, "team", "a")}},
		{"image by key: an annotation in capitals", key, "the signature does not cover",
			[]map[string]any{with(b.keyBundle.demand, "ENV", "prod")}},
		{"layer by key: another value", layer, `to be "test"`,
			[]map[string]any{with(b.keyBundle.demand, "env", "test")}},
		{"layer by key: another annotation", layer, "the signature does not cover",
			[]map[string]any{with(b.keyBundle.demand, "team", "a")}},
		{"layer by key: another key too", layer, "meets allOf[1]",
			[]map[string]any{b.keyBundle.demand, x.byKey("second", false).demand}},
		{"image by address: a key", mail, "by a certificate, not by a key",
			[]map[string]any{b.keyBundle.demand}},
		{"image by address: another issuer", mail, "wants issuer",
			[]map[string]any{equal("https://accounts.example.com", email)}},
		{"image by address: an issuer with a slash", mail, "wants issuer",
			[]map[string]any{equal(issuer+"/", email)}},
		{"image by address: another address", mail, "wants subject",
			[]map[string]any{equal(issuer, "boss@example.com")}},
		{"image by address: the beginning of it", mail, "wants subject",
			[]map[string]any{equal(issuer, email[:len(email)-1])}},
		{"image by address: the end of it", mail, "wants subject",
			[]map[string]any{equal(issuer, email[1:])}},
		{"image by address: a workflow", mail, "wants issuer",
			[]map[string]any{x.fromGitHub(owner, repository)}},
		{"image by address: a URL", mail, "begins with",
			[]map[string]any{prefix(issuer, "https://example.com/")}},
		{"image by address: another value", mail, `to be "test"`,
			[]map[string]any{with(equal(issuer, email), "env", "test")}},
		{"image by address: both persons", mail, "wants subject",
			[]map[string]any{equal(issuer, email), equal(issuer, "boss@example.com")}},
		{"layer by address: another address", mailLayer, "wants subject",
			[]map[string]any{equal(issuer, "boss@example.com")}},
		{"layer by address: another issuer", mailLayer, "wants issuer",
			[]map[string]any{equal(issuer+"/", email)}},
		{"layer by address: another value", mailLayer, `to be "test"`,
			[]map[string]any{with(equal(issuer, email), "env", "test")}},
		{"layer by address: a key", mailLayer, "not by key", []map[string]any{b.keyBundle.demand}},
		{"layer by workflow: another owner", flowLayer, "wants a workflow of other/*",
			[]map[string]any{x.fromGitHub("other", "")}},
		{"layer by workflow: another repository", flowLayer, "wants a workflow of example/other",
			[]map[string]any{x.fromGitHub(owner, "other")}},
		{"layer by workflow: below another repository", flowLayer, "begins with",
			[]map[string]any{prefix(instance.GitHub, "https://github.com/example/other")}},
		{"image by workflow: another owner", flow, "wants a workflow of other/*",
			[]map[string]any{x.fromGitHub("other", "")}},
		{"image by workflow: the beginning of its owner", flow, "wants a workflow of exampl/*",
			[]map[string]any{x.fromGitHub("exampl", "")}},
		{"image by workflow: its owner in capitals", flow, "wants a workflow of Example/*",
			[]map[string]any{x.fromGitHub("Example", "")}},
		{"image by workflow: another repository", flow, "wants a workflow of example/other",
			[]map[string]any{x.fromGitHub(owner, "other")}},
		{"image by workflow: the beginning of its repository", flow,
			"wants a workflow of example/polic", []map[string]any{x.fromGitHub(owner, "polic")}},
		{"image by workflow: another ref", flow, "wants subject",
			[]map[string]any{equal(instance.GitHub, subject+"1")}},
		{"image by workflow: of the other issuer", flow, "wants issuer",
			[]map[string]any{equal(issuer, subject)}},
		{"image by workflow: below another repository", flow, "begins with",
			[]map[string]any{prefix(instance.GitHub, "https://github.com/example/other")}},
		{"image by workflow: below half a name", flow, "begins with",
			[]map[string]any{prefix(instance.GitHub, "https://github.com/example/polic")}},
		{"image by workflow: below another host", flow, "begins with",
			[]map[string]any{prefix(instance.GitHub, "https://github.com.evil.test/example")}},
		{"image by workflow: without TLS", flow, "begins with",
			[]map[string]any{prefix(instance.GitHub, "http://github.com/example/policies")}},
		{"file by workflow: another owner", file, "wants a workflow of other/*",
			[]map[string]any{x.fromGitHub("other", "")}},
		{"file by workflow: another repository", file, "wants a workflow of example/other",
			[]map[string]any{x.fromGitHub(owner, "other")}},
		{"file by workflow: another issuer", file, "wants issuer",
			[]map[string]any{equal(issuer, subject)}},
		{"file by workflow: a key", file, "by a certificate, not by a key",
			[]map[string]any{b.keyBundle.demand}},
		{"file by address: another address", mailFile, "wants subject",
			[]map[string]any{equal(issuer, "boss@example.com")}},
		{"file by address: a workflow", mailFile, "wants issuer",
			[]map[string]any{x.fromGitHub(owner, "")}},
		{"file by address: an annotation", mailFile, "the signature does not cover",
			[]map[string]any{with(equal(issuer, email), "env", "prod")}},
	} {
		x.unless(one.what, one.want, one.module, one.demands...)
	}
}
