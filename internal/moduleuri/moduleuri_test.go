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

package moduleuri_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// The longest URI that a configuration allows can be fetched. Neither limit counts the scheme.
func TestTheLongestURI(t *testing.T) {
	longest := strings.Repeat("a", moduleuri.MaxBytes)
	for uri, tooLong := range map[string]bool{
		"registry://" + longest: false, "registry://" + longest + "a": true, longest: false,
		longest + "a": true,
	} {
		require.Equal(t, tooLong, moduleuri.IsTooLong(uri), len(uri))
	}
}

func TestIsListed(t *testing.T) {
	list := []string{"any.example.com", "one.example.com:5000", "[::1]"}
	for _, test := range []struct {
		scheme, host string
		want         bool
	}{
		{"http", "any.example.com", true},
		{"https", "Any.example.com", true},
		{"http", "any.example.com:443", true},
		{"http", "any.example.com:5000", false},
		{"http", "one.example.com", false},
		{"http", "one.example.com:5000", true},
		{"http", "[::1]:80", true},
		{"http", "other.example.com", false},
	} {
		require.Equal(t, test.want, moduleuri.IsListed(list, test.scheme, test.host), "%s %s",
			test.scheme, test.host)
	}
}

func TestDefaultPort(t *testing.T) {
	for scheme, port := range map[string]string{"http": "80", "https": "443", "ftp": "", "": ""} {
		require.Equal(t, port, moduleuri.DefaultPort(scheme), scheme)
	}
	require.Equal(t, "a.example.com:443", moduleuri.WithPort("https", "A.example.com"))
	require.Equal(t, "[::1]:5000", moduleuri.WithPort("http", "[::1]:5000"))
}

func TestParseInLayout(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for text, want := range map[string]moduleuri.InLayout{
		"/a.tar:ghcr.io/p/q:v1": {
			Path: "/a.tar", Repository: "ghcr.io/p/q", Tag: "v1",
		},
		"/a:localhost:5000/p": {
			Path: "/a", Repository: "localhost:5000/p", Tag: "latest",
		},
		"/a/b.tar:v1":     {Path: "/a/b.tar", Tag: "v1"},
		"/a@" + digest:    {Path: "/a", Digest: digest},
		"/a:v1@" + digest: {Path: "/a", Digest: digest},
		"/a:ghcr.io/p/q@" + digest: {
			Path: "/a", Repository: "ghcr.io/p/q", Digest: digest,
		},
		"/a:ghcr.io:443/p/q:v1@" + digest: {
			Path: "/a", Repository: "ghcr.io:443/p/q", Digest: digest,
		},
		"/var/lib/policies d.tar:ghcr.io/p:v": {
			Path: "/var/lib/policies d.tar", Repository: "ghcr.io/p", Tag: "v",
		},
	} {
		got, err := moduleuri.ParseInLayout(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for text, want := range map[string]error{
		"": moduleuri.ErrNoReference, "/a": moduleuri.ErrNoReference,
		"/a:": moduleuri.ErrNoReference, "/a:v 1": moduleuri.ErrNoReference,
		"a:v1": moduleuri.ErrLayoutPath, "./a:v1": moduleuri.ErrLayoutPath,
		"/a/../b:v1": moduleuri.ErrLayoutPath, ":v1": moduleuri.ErrLayoutPath,
		"/:v1":        moduleuri.ErrLayoutPath,
		"/a@sha256:0": moduleuri.ErrDigest, "/a:v1@": moduleuri.ErrDigest,
	} {
		_, err := moduleuri.ParseInLayout(text)
		require.ErrorIs(t, err, want, text)
	}
	_, err := moduleuri.ParseInLayout("/a:ghcr.io/UPPER:v1")
	require.Error(t, err)
}
