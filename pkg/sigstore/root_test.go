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
	"encoding/json"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/stretchr/testify/require"
)

func TestParseRoot(t *testing.T) {
	f := newForge(t)
	whole := f.parts().json(t)
	without := func(change func(*parts)) []byte {
		p := f.parts()
		change(p)
		return p.json(t)
	}
	clientConfig := func(trusted []byte) []byte {
		return []byte(`{"mediaType":"` + clientTrustConfigMediaType + `","trustedRoot":` +
			string(trusted) + `,"signingConfig":{"caUrl":"https://old.example.com"}}`)
	}
	typed := func(mediaType string) []byte {
		return bytes.Replace(whole, []byte(root.TrustedRootMediaType01), []byte(mediaType), 1)
	}
	for _, c := range []struct {
		name, err string
		content   []byte
		after     time.Duration
	}{
		{"whole", "", whole, 0},
		{"client trust config", "", clientConfig(whole), 0},
		{"no log of certificates", "", without(func(p *parts) { p.ctLogs = nil }), 0},
		{"no log", "", without(func(p *parts) { p.logs = nil }), 0},
		{"no timestamp authority", "", without(func(p *parts) { p.timestamps = nil }), 0},
		{"no certificate authority", "has no certificate authority",
			without(func(p *parts) { p.authorities = nil }), 0},
		{"neither log nor timestamp authority",
			"neither a transparency log nor a timestamp authority",
			without(func(p *parts) { p.logs, p.timestamps = nil, nil }), 0},
		{"nothing at all", "has no certificate authority",
			[]byte(`{"mediaType":"` + root.TrustedRootMediaType01 + `"}`), 0},
		{"expired", "its last certificate authority was valid until", whole, 90 * time.Minute},
		{"logs expired", "its last log or timestamp authority was valid until",
			without(func(p *parts) {
				p.timestamps = nil
				p.authorities[0].(*root.FulcioCertificateAuthority).ValidityPeriodEnd = time.Time{}
			}), 90 * time.Minute},
		{"empty", "is empty", []byte(" \n"), 0},
		{"null", "media type", []byte("null"), 0},
		{"no JSON", "is not JSON", []byte("trust me"), 0},
		{"cut", "is not JSON", whole[:len(whole)-1], 0},
		{"newer", "media type",
			typed("application/vnd.dev.sigstore.trustedroot+json;version=0.2"), 0},
		{"a bundle", "media type", typed("application/vnd.dev.sigstore.bundle.v0.3+json"), 0},
		{"unknown field", "cannot be read", append([]byte(`{"a":1,`), whole[1:]...), 0},
		{"client trust config without root", "has no trustedRoot",
			[]byte(`{"mediaType":"` + clientTrustConfigMediaType + `"}`), 0},
		{"client trust config with another root", "cannot be read",
			clientConfig(typed("application/vnd.dev.sigstore.trustedroot.v9+json")), 0},
		{"certificate that is none", "cannot be read",
			bytes.Replace(whole, []byte(`"rawBytes":"MII`), []byte(`"rawBytes":"AAA`), 1), 0},
		{"too large", "at most", make([]byte, MaxRootBytes+1), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRoot(c.content, time.Now().Add(c.after))
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.NotContains(t, err.Error(), "\n")
				require.Nil(t, r)
				return
			}
			require.NoError(t, err)
			require.NotEmpty(t, r.Digest())
		})
	}
}

func TestDigestOfRoot(t *testing.T) {
	f := newForge(t)
	whole := f.parts().root(t)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, whole.JSON(), "", "  "))
	same, err := ParseRoot(indented.Bytes(), time.Now())
	require.NoError(t, err)
	require.Equal(t, whole.Digest(), same.Digest(), "blanks are no change")
	p := f.parts()
	p.timestamps = nil
	require.NotEqual(t, whole.Digest(), p.root(t).Digest())
	require.Equal(t, whole.Digest(), New(func() *Root { return whole }).TrustRoot())
	require.Empty(t, New(nil).TrustRoot())
}
