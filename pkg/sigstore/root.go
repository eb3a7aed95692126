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
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// clientTrustConfigMediaType is the media type of the document that tells clients of a private
// Sigstore instance what to trust and where to sign.
const clientTrustConfigMediaType = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"

// Root is a trust root: certificate authorities, logs and timestamp authorities. It is immutable.
type Root struct {
	material root.TrustedMaterial
	content  []byte
	digest   string
}

// Digest identifies the root: "sha256:" and 64 hexadecimal digits. Roots that differ only in white
// space have the same digest.
func (r *Root) Digest() string { return r.digest }

// JSON returns the root as a trusted_root.json without white space. The caller must not modify it.
func (r *Root) JSON() []byte { return r.content }

// ParseRoot parses a trust root from a trusted_root.json or a ClientTrustConfig. Of the latter, it
// uses only the trusted root. It refuses a root that can verify nothing at the time now: a root
// without a certificate authority, without a log or timestamp authority, or with none that is still
// valid.
func ParseRoot(content []byte, now time.Time) (parsed *Root, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			parsed, err = nil,
				wrap("the trust root makes the library panic", fmt.Errorf("%v", cause))
		}
	}()
	if err := bounded("the trust root", len(content), MaxRootBytes); err != nil {
		return nil, err
	}
	content, err = trustedRoot(content)
	if err != nil {
		return nil, err
	}
	material, err := root.NewTrustedRootFromJSON(content)
	if err != nil {
		return nil, wrap("the trust root cannot be read", err)
	}
	sum := sha256.Sum256(content)
	parsed = &Root{
		material: material,
		content:  content,
		digest:   "sha256:" + hex.EncodeToString(sum[:]),
	}
	if err := parsed.Usable(now); err != nil {
		return nil, err
	}
	return parsed, nil
}

// trustedRoot extracts the trusted root from a document, and removes its white space.
func trustedRoot(content []byte) ([]byte, error) {
	var document struct {
		MediaType   string          `json:"mediaType"`
		TrustedRoot json.RawMessage `json:"trustedRoot"`
	}
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, errors.New("the trust root is empty")
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return nil, wrap("the trust root is not JSON", err)
	}
	switch document.MediaType {
	case root.TrustedRootMediaType01:
	case clientTrustConfigMediaType:
		if len(document.TrustedRoot) == 0 {
			return nil, errors.New("the client trust config has no trustedRoot")
		}
		content = document.TrustedRoot
	default:
		return nil, fmt.Errorf("the trust root has media type %q, known are %q and %q",
			oneLine(document.MediaType), root.TrustedRootMediaType01, clientTrustConfigMediaType)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		return nil, wrap("the trust root is not JSON", err)
	}
	return compact.Bytes(), nil
}

// Usable returns nil if the root can verify signatures made at the time now, and otherwise the
// reason.
func (r *Root) Usable(now time.Time) error {
	authorities := r.material.FulcioCertificateAuthorities()
	if len(authorities) == 0 {
		return errors.New(
			"the trust root has no certificate authority: no certificate could be verified with it")
	}
	var ends []time.Time
	for _, authority := range authorities {
		if a, ok := authority.(*root.FulcioCertificateAuthority); ok {
			ends = append(ends, earlier(a.ValidityPeriodEnd, a.Root.NotAfter))
		}
	}
	if end, expired := lastEnd(ends, now); expired {
		return fmt.Errorf(
			"the trust root is expired: its last certificate authority was valid until %s",
			end.UTC().Format(time.RFC3339))
	}
	ends = nil
	for _, log := range r.material.RekorLogs() {
		ends = append(ends, log.ValidityPeriodEnd)
	}
	for _, authority := range r.material.TimestampingAuthorities() {
		if a, ok := authority.(*root.SigstoreTimestampingAuthority); ok && a.Root != nil {
			ends = append(ends, earlier(a.ValidityPeriodEnd, a.Root.NotAfter))
		}
	}
	if len(ends) == 0 {
		return errors.New(
			"the trust root has neither a transparency log nor a timestamp authority: nothing could prove when a certificate signed")
	}
	if end, expired := lastEnd(ends, now); expired {
		return fmt.Errorf(
			"the trust root is expired: its last log or timestamp authority was valid until %s",
			end.UTC().Format(time.RFC3339))
	}
	return nil
}

// earlier returns the earlier of two ends. A zero time means no end.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// lastEnd returns the latest end, and whether all ends have passed. A zero time never passes.
func lastEnd(ends []time.Time, now time.Time) (last time.Time, over bool) {
	for _, end := range ends {
		if end.IsZero() || !end.Before(now) {
			return time.Time{}, false
		}
		if end.After(last) {
			last = end
		}
	}
	return last, true
}
