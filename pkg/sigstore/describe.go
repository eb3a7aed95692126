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

// Description is what a candidate says about itself. Nothing in it is verified. The candidate's
// author may have invented all of it, including the texts.
type Description struct {
	// Format is "simple signing" for cosign 2's format, or "bundle" with its version.
	Format string `json:"format"`
	// KeyHint names the key of a bundle. It is usually "" or a digest of the key.
	KeyHint string `json:"keyHint,omitempty"`
	// Certificate describes the signer's certificate. It is nil for a signature by a key.
	Certificate *CertificateDescription `json:"certificate,omitempty"`
	// Annotations are the signed annotations.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Log lists the entries of transparency logs, and Timestamps the times from timestamp
	// authorities.
	Log        []LogDescription `json:"log,omitempty"`
	Timestamps []time.Time      `json:"timestamps,omitempty"`
	// Problem says why the candidate cannot be read, or cannot be a signature of the artifact. It
	// is empty if there is no such reason.
	Problem string `json:"problem,omitempty"`
}

// CertificateDescription is what a certificate says about its owner.
type CertificateDescription struct {
	// Issuer and Subjects are those of a [verification.CertificateIdentity]. NoIdentity says why
	// they are missing, for example because Fulcio did not issue the certificate.
	Issuer     string   `json:"issuer,omitempty"`
	Subjects   []string `json:"subjects,omitempty"`
	NoIdentity string   `json:"noIdentity,omitempty"`
	// Extensions are Fulcio's extensions by name, such as "sourceRepositoryURI".
	Extensions map[string]string `json:"extensions,omitempty"`
	// NotBefore and NotAfter are the bounds of the certificate's validity.
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// LogDescription describes an entry of a transparency log.
type LogDescription struct {
	// LogID identifies the log, in base64.
	LogID string `json:"logID"`
	Index int64  `json:"index"`
	// Time is the log's time of the entry, or nil if the log gives none.
	Time *time.Time `json:"time,omitempty"`
}

// Describe reads what a candidate for an artifact says about itself. It has the same bounds as a
// [Checker], verifies nothing, and needs no trust root.
func Describe(candidate *verification.Candidate, artifact verification.Artifact) (d *Description) {
	d = &Description{Format: "bundle"}
	if len(candidate.Payload) > 0 {
		d.Format = "simple signing"
	}
	defer func() {
		if cause := recover(); cause != nil {
			d = &Description{
				Format:  d.Format,
				Problem: wrap("it makes the library panic", fmt.Errorf("%v", cause)).Error(),
			}
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
		d.Problem = wrap("it is not a signature of this artifact", err).Error()
	}
	return d
}

// who describes the signer.
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

// what describes the signed content.
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

// unverified is like claims, for an unverified entity.
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

// when describes the log entries and timestamps.
func (d *Description) when(e *entity) error {
	for _, entry := range e.entries {
		l := LogDescription{
			Index: entry.LogIndex(),
			LogID: base64.StdEncoding.EncodeToString([]byte(entry.LogKeyID())),
		}
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
