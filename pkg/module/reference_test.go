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

package module

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

var hex64 = strings.Repeat("0a", 32)

func TestParseReference(t *testing.T) {
	for uri, want := range map[string]string{
		"registry://example.com/a":              "registry://example.com/a:latest",
		"registry://example.com/a/b-c/d_e:v1.0": "registry://example.com/a/b-c/d_e:v1.0",
		"registry://127.0.0.1:5000/a:v1":        "registry://127.0.0.1:5000/a:v1",
		"registry://[::1]:5000/a:v1":            "registry://[::1]:5000/a:v1",
		"registry://example.com:5000/a@sha256:" +
			hex64: "registry://example.com:5000/a@sha256:" + hex64,
		"registry://example.com:5000/a:any.Tag_1@sha256:" +
			hex64: "registry://example.com:5000/a@sha256:" + hex64,
	} {
		ref, err := parseReference(uri)
		require.NoError(t, err, uri)
		require.Equal(t, want, ref.String())
	}
	for uri, text := range map[string]string{
		"https://example.com/a":                             "does not begin with registry://",
		"registry://":                                       "missing registry or repository",
		"registry://example.com":                            "missing registry or repository",
		"registry:///a":                                     "invalid registry",
		"registry://user:password@example.com/a":            "the part after the @",
		"registry://example.com/A":                          "invalid repository",
		"registry://example.com/a/../b":                     "invalid repository",
		"registry://example.com/a?x=1":                      "invalid repository",
		"registry://example.com/a:":                         "the tag is empty",
		"registry://example.com/a:b:c":                      "invalid tag",
		"registry://example.com/a:-b":                       "invalid tag",
		"registry://example.com/a: @sha256:" + hex64:        "invalid tag",
		"registry://example.com/a@":                         "the part after the @",
		"registry://example.com/a@sha256:" + hex64[:62]:     "the part after the @",
		"registry://example.com/a@sha256:" + hex64 + "\n":   "the part after the @",
		"registry://example.com/a@SHA256:" + hex64:          "the part after the @",
		"registry://example.com/a@sha512:" + hex64 + hex64:  "the part after the @",
		"registry://example.com/a@sha256:" + hex64 + "@x:y": "the part after the @",
	} {
		_, err := parseReference(uri)
		require.ErrorContains(t, err, text, uri)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{
		"registry://example.com/a:v1", "registry://[::1]:5000/a@sha256:" + hex64,
		"registry://a@b/c", "registry://a%2fb/c", "registry://a/b/../c",
		"registry://a/b:c@sha256:" + hex64, "registry://a?b/c", "registry://a#b/c",
		"registry://\x00/b", "registry://é/b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		ref, err := parseReference(uri)
		if err != nil {
			return
		}
		// The request goes to exactly the host that was written.
		u, err := url.Parse("https://" + ref.Registry + "/v2/" + ref.Repository + "/manifests/" +
			ref.name())
		require.NoError(t, err)
		require.Equal(t, ref.Registry, u.Host)
		require.Nil(t, u.User)
		require.Empty(t, u.RawQuery+u.Fragment)
		require.Equal(t, "/v2/"+ref.Repository+"/manifests/"+ref.name(), u.Path)
		require.True(t, strings.HasPrefix(uri, "registry://"+ref.Registry+"/"+ref.Repository))
		require.NotEqual(t, ref.Tag == "", ref.Digest == "")
		again, err := parseReference(ref.String())
		require.NoError(t, err)
		require.Equal(t, ref, again)
		require.Equal(t, ref.String(), Redact(ref.String()))
	})
}

func TestRedact(t *testing.T) {
	for uri, want := range map[string]string{
		"registry://example.com/a:v1":                 "registry://example.com/a:v1",
		"registry://example.com/a@sha256:0a":          "registry://example.com/a@sha256:0a",
		"registry://user:secret@example.com/a":        "registry://…@example.com/a",
		"file:///a b/c.wasm":                          "file:///a b/c.wasm",
		"https://user:secret@example.com/a?b=secret":  "https://…@example.com/a?…",
		"https://example.com/a#secret":                "https://example.com/a",
		"https://us\x7fer:secret@example.com":         "(a URI that cannot be parsed)",
		"https://example.com/a.wasm?signature=secret": "https://example.com/a.wasm?…",
	} {
		require.Equal(t, want, Redact(uri))
	}
}

func TestMirrors(t *testing.T) {
	s := &Sources{Mirrors: []Mirror{
		{Prefix: "registry://ghcr.io/", Replacement: "registry://mirror/ghcr/"},
		{Prefix: "registry://ghcr.io/kubewarden/", Replacement: "registry://mirror/kw/"},
		{Prefix: "registry://quay.io", Replacement: "registry://mirror:5000/quay"},
		{Prefix: "registry://docker.io/one/policy", Replacement: "registry://mirror/policy"},
		{Prefix: "https://example.com/", Replacement: "http://mirror/"},
	}}
	require.NoError(t, s.validate())
	for uri, want := range map[string]string{
		"registry://ghcr.io/other/a:v1":           "registry://mirror/ghcr/other/a:v1",
		"registry://ghcr.io/kubewarden/a:v1":      "registry://mirror/kw/a:v1",
		"registry://ghcr.io/kubewarden-evil/a:v1": "registry://mirror/ghcr/kubewarden-evil/a:v1",
		"registry://ghcr.io.evil/a:v1":            "",
		"registry://quay.io/a:v1":                 "registry://mirror:5000/quay/a:v1",
		"registry://quay.io:5000/a:v1":            "",
		"registry://quay.io.evil/a:v1":            "",
		"registry://docker.io/one/policy:v1":      "registry://mirror/policy:v1",
		"registry://docker.io/one/policy@sha256":  "registry://mirror/policy@sha256",
		"registry://docker.io/one/policy-2:v1":    "",
		"https://example.com/a.wasm":              "http://mirror/a.wasm",
		"http://example.com/a.wasm":               "",
	} {
		got := s.locations(uri)
		if want != "" {
			require.Equal(t, location{uri: want, mirror: true}, got[0])
			got = got[1:]
		}
		require.Equal(t, []location{{uri: uri}}, got)
	}
}

func TestSourcesAreValidated(t *testing.T) {
	s := &Sources{
		Insecure: []string{
			"", "https://example.com", "user@example.com", "example.com/a", "example.com:",
			"fine.example.com", "[::1]:5000",
		},
		Authorities:  []Authority{{Host: "a b", Files: []string{"relative"}}},
		DockerConfig: "relative",
		Timeout:      -1,
		Mirrors: []Mirror{
			{Prefix: "ghcr.io/", Replacement: "registry://mirror/"},
			{Prefix: "registry://ghcr.io/", Replacement: "https://mirror/"},
			{Prefix: "registry://ghcr.io/", Replacement: "registry://mirror"},
			{Prefix: "file:///a", Replacement: "file:///b"},
		},
	}
	err := s.validate()
	for _, text := range []string{
		`sources.insecure: "" is`, `sources.insecure: "https://example.com" is`,
		`sources.insecure: "user@example.com" is`,
		`sources.insecure: "example.com/a" is`, `sources.insecure: "example.com:" is`,
		`sources.authorities: "a b" is`,
		`sources.authorities of a b: "relative" is not an absolute path`,
		`sources.dockerConfig: "relative" is not`, "sources.timeout: -1ns is negative",
		`prefix "ghcr.io/" does not begin`,
		`replacement "https://mirror/" of "registry://ghcr.io/" is of another kind`,
		"must end with a slash", `prefix "file:///a" does not begin`,
	} {
		require.ErrorContains(t, err, text)
	}
	require.NotContains(t, err.Error(), "fine")
	require.NotContains(t, err.Error(), "::1")
}

func FuzzParseEntry(f *testing.F) {
	fine, err := entry{
		Format:   entryFormat,
		URI:      "registry://a/b:c",
		Digest:   "sha256:" + hex64,
		Manifest: "sha256:" + hex64,
	}.encode()
	require.NoError(f, err)
	f.Add(fine)
	f.Add([]byte(`{"format":"` + entryFormat + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		again, err := e.encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzWasmLayer(f *testing.F) {
	f.Add([]byte(`{"layers":[{"mediaType":"` + layerMediaType + `","digest":"sha256:` + hex64 +
		`","size":1}]}`))
	f.Add([]byte(`{"manifests":[],"layers":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if layer, err := wasmLayer("application/vnd.oci.image.manifest.v1+json", b); err == nil {
			require.True(t, moduleuri.IsDigest(layer.Digest.String()))
			require.Positive(t, layer.Size)
		}
	})
}
