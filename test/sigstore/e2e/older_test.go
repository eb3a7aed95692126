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
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

// certified adds signatures by identities in the format of cosign 2, with one of their materials
// changed.
func (x *table) certified(b subjects, foreign *instance.Keys) {
	for _, of := range []struct {
		what       string
		good, more signed
	}{
		{"layer by address", b.emailLayer, x.image(x.other, x.wasm, x.byEmail(email), true)},
		{"layer by workflow", b.workflowLayer,
			x.image(x.plain, x.wasm, x.byWorkflow(owner+"/"+repository, workflow, ref), true)},
	} {
		annotated := func(what, annotation, value string) {
			m := of.good
			m.layer = &registry.Layer{
				Payload:     m.layer.Payload,
				Annotations: maps.Clone(m.layer.Annotations),
			}
			if m.layer.Annotations[annotation] = value; value == "" {
				delete(m.layer.Annotations, annotation)
			}
			x.refuse(of.what+": "+what, "", m)
		}
		certificate := func(what string, keys *instance.Keys, change func(*x509.Certificate)) {
			der, err := base64.StdEncoding.DecodeString(x.certificate(keys, change))
			require.NoError(x, err)
			annotated(what, certificateAnnotation,
				string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		}
		logged := func(what string, entry []byte) { annotated(what, logAnnotation, string(entry)) }
		own, now := x.instance.Keys, time.Now()
		annotated("without certificate", certificateAnnotation, "")
		annotated("certificate of a later signature", certificateAnnotation,
			of.more.layer.Annotations[certificateAnnotation])
		annotated("two certificates", certificateAnnotation,
			of.good.layer.Annotations[certificateAnnotation]+
				of.more.layer.Annotations[certificateAnnotation])
		annotated("certificate of the authority itself", certificateAnnotation,
			of.good.layer.Annotations[chainAnnotation])
		certificate("certificate of another authority", foreign, func(*x509.Certificate) {})
		certificate("certificate that no log has seen", own, func(*x509.Certificate) {})
		certificate("expired certificate", own, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour)
		})
		annotated("signature of a later payload", signatureAnnotation,
			of.more.layer.Annotations[signatureAnnotation])
		annotated("without log entry", logAnnotation, "")
		annotated("log entry of a later signature", logAnnotation,
			of.more.layer.Annotations[logAnnotation])
		entry := []byte(of.good.layer.Annotations[logAnnotation])
		logged("logged after the certificate expired", x.loggedAt(entry, now.Add(time.Hour), own))
		logged("logged before the certificate was valid",
			x.loggedAt(entry, now.Add(-time.Hour), own))
		logged("logged by another", x.loggedAt(entry, now, foreign))
		for _, way := range ways(x.document(entry)) {
			logged("log entry without "+text(way), x.edit(entry, way, remove))
			if _, isObject := x.at(entry, way...).(map[string]any); !isObject {
				logged("log entry with "+text(way)+" changed", x.edit(entry, way, bend))
			}
		}
	}
}

// loggedAt returns what the older log with the keys would say about an entry that was created at
// another time.
func (s *suite) loggedAt(entry []byte, at time.Time, keys *instance.Keys) []byte {
	entry = s.put(entry, at.Unix(), "Payload", "integratedTime")
	// The log signs JSON with sorted names and without spaces.
	sum := sha256.Sum256([]byte(s.json(s.at(entry, "Payload"))))
	signature, err := ecdsa.SignASN1(rand.Reader, keys.OlderRekor, sum[:])
	require.NoError(s, err)
	return s.put(entry, base64.StdEncoding.EncodeToString(signature), "SignedEntryTimestamp")
}
