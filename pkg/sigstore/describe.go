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
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Description is what a candidate says of itself. Nothing of it is verified: whoever wrote the candidate may have made it
// up, texts included.
type Description struct {
	// Format is "simple signing", which is cosign 2's, or "bundle" and the version.
	Format string `json:"format"`
	// KeyHint is how a bundle that was signed by a key names it; most are "" or a digest of the key.
	KeyHint string `json:"keyHint,omitempty"`
	// Certificate is that of whoever signed, nil if that was done by a key.
	Certificate *CertificateDescription `json:"certificate,omitempty"`
	// Annotations are what was signed along.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Log are the entries of transparency logs, and Timestamps what timestamp authorities signed.
	Log        []LogDescription `json:"log,omitempty"`
	Timestamps []time.Time      `json:"timestamps,omitempty"`
	// Problem says why it cannot be a signature of the artifact, or cannot be read; "" if nothing speaks against it.
	Problem string `json:"problem,omitempty"`
}

// CertificateDescription is what a certificate says of whom it is for.
type CertificateDescription struct {
	// Issuer and Subjects are as those of a [verification.CertificateIdentity]. NoIdentity says why there are none, as in
	// certificates that Fulcio has not made.
	Issuer     string   `json:"issuer,omitempty"`
	Subjects   []string `json:"subjects,omitempty"`
	NoIdentity string   `json:"noIdentity,omitempty"`
	// Extensions are those of Fulcio, such as "sourceRepositoryURI", by their names.
	Extensions map[string]string `json:"extensions,omitempty"`
	// NotBefore and NotAfter are when it was valid.
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// LogDescription is an entry of a transparency log.
type LogDescription struct {
	// LogID names the log, in base64.
	LogID string `json:"logID"`
	Index int64  `json:"index"`
	// Time is when the log says that it was entered, nil if it does not.
	Time *time.Time `json:"time,omitempty"`
}

// Describe reads what a candidate for an artifact says of itself. It is bounded as a [Checker] is, verifies nothing and
// needs no trust root.
func Describe(candidate *verification.Candidate, artifact verification.Artifact) (d *Description) {
	d = &Description{Format: "bundle"}
	if len(candidate.Payload) > 0 {
		d.Format = "simple signing"
	}
	defer func() {
		if cause := recover(); cause != nil {
			d = &Description{Format: d.Format, Problem: wrap("it makes the library panic", fmt.Errorf("%v", cause)).Error()}
		}
	}()
	e, err := read(candidate, artifact)
	if err != nil {
		d.Problem = err.Error()
		return d
	}
	if e.payload == nil {
		d.Format += " " + e.version
	}
	if err := errors.Join(d.who(e), d.what(e, artifact), d.when(e)); err != nil {
		d.Problem = wrap("it is no signature of this artifact", err).Error()
	}
	return d
}

// who notes who signed.
func (d *Description) who(e *entity) (err error) {
	leaf := e.content.Certificate()
	if leaf != nil {
		d.Certificate, err = describeCertificate(leaf)
		return err
	}
	if key := e.content.PublicKey(); key != nil {
		d.KeyHint = oneLine(key.Hint())
	}
	return nil
}

func describeCertificate(leaf *x509.Certificate) (*CertificateDescription, error) {
	d := &CertificateDescription{NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC()}
	who, err := identity(leaf)
	if err != nil {
		d.NoIdentity = oneLine(err.Error())
		return d, nil
	}
	d.Issuer = oneLine(who.Issuer)
	for _, subject := range who.Subjects {
		d.Subjects = append(d.Subjects, oneLine(subject))
	}
	extensions, err := certificate.ParseExtensions(leaf.Extensions)
	if err != nil {
		return d, err
	}
	text, err := json.Marshal(extensions)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d.Extensions); err != nil {
		return d, err
	}
	delete(d.Extensions, "issuer")
	for name, value := range d.Extensions {
		d.Extensions[name] = oneLine(value)
	}
	return d, nil
}

// what notes what was signed.
func (d *Description) what(e *entity, artifact verification.Artifact) error {
	claimed, err := e.unverified(artifact)
	if len(claimed) > 0 {
		d.Annotations = map[string]string{}
	}
	for name, value := range claimed {
		d.Annotations[oneLine(name)] = oneLine(value)
	}
	return err
}

// unverified is as claims, of what nobody has verified.
func (e *entity) unverified(artifact verification.Artifact) (map[string]string, error) {
	envelope := e.signature.EnvelopeContent()
	if envelope == nil {
		return e.claims(nil, artifact)
	}
	statement, err := envelope.Statement()
	if err != nil {
		return nil, err
	}
	return e.claims(statement, artifact)
}

// when notes who has seen it.
func (d *Description) when(e *entity) error {
	for _, entry := range e.entries {
		l := LogDescription{Index: entry.LogIndex(), LogID: base64.StdEncoding.EncodeToString([]byte(entry.LogKeyID()))}
		if at := entry.IntegratedTime(); at.Unix() > 0 {
			at = at.UTC()
			l.Time = &at
		}
		d.Log = append(d.Log, l)
	}
	for _, signed := range e.timestamps {
		t, err := timestamp.ParseResponse(signed)
		if err != nil {
			return fmt.Errorf("a timestamp: %w", err)
		}
		d.Timestamps = append(d.Timestamps, t.Time.UTC())
	}
	return nil
}
