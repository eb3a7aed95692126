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

package policystore

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const (
	tagged = "registry://example.com:5000/policies/one:v1"
	web    = "https://example.com/a/policy.wasm"
)

var zeros = strings.Repeat("0", 64)

func module(text string) []byte { return []byte(wasmMagic + "\x01\x00\x00\x00" + text) }

func TestPlace(t *testing.T) {
	for uri, want := range map[string]string{
		"registry://ghcr.io/kubewarden/policies/pod-privileged:v0.2.2": "registry/ghcr.io/kubewarden/policies/pod-privileged:v0.2.2",
		tagged:                       "registry/example.com:5000/policies/one:v1",
		"registry://example.com/one": "registry/example.com/one:latest",
		"registry://example.com/one@sha256:" + zeros: "registry/example.com/one@sha256:" + zeros,
		web:                                   "https/example.com/a/policy.wasm",
		"http://Example.com:1234/policy.wasm": "http/example.com:1234/policy.wasm",
		"https://example.com:443/policy.wasm": "https/example.com/policy.wasm",
		"https://example.com/a%2F..%2Fb.wasm": "https/example.com/a%2F..%2Fb.wasm",
	} {
		got, err := Place(uri)
		require.NoError(t, err, uri)
		require.Equal(t, want, got)
		again, ok := uriOf(got)
		require.True(t, ok, uri)
		place, err := Place(again)
		require.NoError(t, err)
		require.Equal(t, got, place)
	}
	for _, uri := range []string{
		"", "one", "file:///policy.wasm", "registry://", "registry://example.com/../../one:v1",
		"registry://example.com/one:", "https://",
		"https://example.com", "https://example.com/", "https://example.com/a/../../b",
		"https://example.com/./a", "https://example.com//a",
		"https://../a", "https://example.com/a?token=secret", "https://example.com/a?",
		"https://example.com/a#b", "https://ann:secret@example.com/a",
		"https://example.com/.tmp-1", "https://example.com/%zz",
		"https://example.com/" + strings.Repeat("a", 5000),
	} {
		_, err := Place(uri)
		require.Error(t, err, uri)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestIsFixed(t *testing.T) {
	for uri, want := range map[string]bool{
		tagged: true, web: true, "registry://example.com/one:latest": false,
		"registry://example.com/one":                 false,
		"registry://example.com/one@sha256:" + zeros: false, "https://example.com/a?b": false,
		"file:///a": false,
	} {
		require.Equal(t, want, IsFixed(uri), uri)
	}
}

func TestStore(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "kubewarden", "store"))
	require.Empty(t, list(t, s), "there is none yet")
	_, err := s.Get(tagged)
	require.ErrorAs(t, err, new(*NotFoundError))
	require.ErrorAs(t, s.Remove(tagged), new(*NotFoundError))

	for uri, text := range map[string]string{
		tagged:                         "one",
		web:                            "two",
		"registry://example.com/three": "three",
	} {
		require.NoError(t, s.Put(uri, module(text)))
	}
	got, err := s.Get(tagged)
	require.NoError(t, err)
	require.Equal(t, module("one"), got)
	require.FileExists(t, filepath.Join(s.Root(), "registry/example.com:5000/policies/one:v1"))
	require.NoError(t, s.Put(tagged, module("one again")))
	// The store leaves other files alone.
	require.NoError(t, os.WriteFile(filepath.Join(s.Root(), "notes"), nil, 0o600))
	require.NoError(t,
		os.WriteFile(filepath.Join(s.Root(), "https/example.com/.tmp-1"), nil, 0o600))
	require.Equal(t, []string{web, "registry://example.com/three:latest", tagged}, list(t, s))

	uri, content, err := s.Find(strings.TrimPrefix(engine.Digest(module("two")), "sha256:")[:12])
	require.NoError(t, err)
	require.Equal(t, web, uri)
	require.Equal(t, module("two"), content)
	_, _, err = s.Find(zeros)
	require.ErrorContains(t, err, "Cannot find policy '"+zeros+"'")
	require.NoError(t, s.Put("https://example.com/b.wasm", module("two")))
	_, _, err = s.Find(strings.TrimPrefix(engine.Digest(module("two")), "sha256:")[:12])
	require.ErrorContains(t, err,
		"is the beginning of the digests of both https://example.com/a/policy.wasm and https://example.com/b.wasm")

	require.ErrorAs(t, s.Remove("https://example.com/a"), new(*NotFoundError),
		"a directory is no policy")
	require.NoError(t, s.Remove(tagged))
	require.NoDirExists(t, filepath.Join(s.Root(), "registry/example.com:5000"))
	require.DirExists(t, filepath.Join(s.Root(), "registry/example.com"))
}

func TestStoreRefuses(t *testing.T) {
	s := New(t.TempDir())
	s.maxModuleBytes, s.maxEntries = 16, 5
	require.ErrorContains(t, s.Put(tagged, []byte("text")), "not a WebAssembly module")
	require.ErrorContains(t, s.Put(tagged, module("larger than 16 bytes")), "at most 16 are kept")
	require.ErrorContains(t, s.Put("https://example.com/../../a", module("")), "has no place")
	require.NoError(t, s.Put(tagged, module("")))

	// Links must not lead out of the store.
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, module("secret"), 0o600))
	require.NoError(t,
		os.Symlink(outside, filepath.Join(s.Root(), "registry/example.com:5000/policies/two:v1")))
	_, err := s.Get("registry://example.com:5000/policies/two:v1")
	require.Error(t, err)
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(s.Root(), "https")))
	require.Error(t, s.Put("https://outside/a", module("")))

	path := filepath.Join(s.Root(), "registry/example.com:5000/policies/one:v1")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = s.Get(tagged)
	require.ErrorContains(t, err, path+" is damaged")
	require.NoError(t, os.WriteFile(path, module("larger than 16 bytes"), 0o600))
	_, err = s.Get(tagged)
	require.ErrorContains(t, err, "more than 16 bytes")
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.Root(), name), nil, 0o600))
	}
	require.ErrorContains(t, s.Each(func(string, []byte) error { return nil }),
		"more than 5 entries")
}

func TestArchive(t *testing.T) {
	s := New(t.TempDir())
	require.NoError(t, s.Put(tagged, module("one")))
	require.NoError(t, s.Put(web, module("two")))
	var first, second bytes.Buffer
	require.NoError(t, s.Save(&first, []string{tagged, web}))
	require.NoError(t, s.Save(&second, []string{tagged, web}))
	require.Equal(t, first.Bytes(), second.Bytes())
	require.ErrorAs(t, s.Save(&second, []string{"registry://example.com/none"}),
		new(*NotFoundError))

	path := filepath.Join(t.TempDir(), "policies.tar.gz")
	require.NoError(t, os.WriteFile(path, first.Bytes(), 0o600))
	other := New(filepath.Join(t.TempDir(), "store"))
	uris, err := other.Load(path, 1<<10)
	require.NoError(t, err)
	require.Equal(t, []string{tagged, web}, uris)
	got, err := other.Get(web)
	require.NoError(t, err)
	require.Equal(t, module("two"), got)
}

// Archives come from anywhere. If one has any other content, nothing of it is stored.
func TestLoadRefuses(t *testing.T) {
	good := &tar.Header{Name: "registry/example.com/one:v1", Typeflag: tar.TypeReg}
	for name, test := range map[string]struct {
		headers []*tar.Header
		text    string
		err     string
	}{
		"a way out": {[]*tar.Header{good, {Name: "../../outside", Typeflag: tar.TypeReg}}, "",
			"is not the file of a policy"},
		"an inner way": {[]*tar.Header{
			good,
			{Name: "https/example.com/../../../outside", Typeflag: tar.TypeReg},
		}, "", "is not the file of a policy"},
		"an absolute one": {[]*tar.Header{good, {Name: "/etc/passwd", Typeflag: tar.TypeReg}}, "",
			"is not the file of a policy"},
		"a link": {[]*tar.Header{
			good,
			{Name: "https/example.com/a", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
		}, "", "is not the file of a policy"},
		"a hard link": {[]*tar.Header{
			good,
			{Name: "https/example.com/a", Typeflag: tar.TypeLink, Linkname: good.Name},
		}, "", "is not the file of a policy"},
		"a device": {[]*tar.Header{
			good,
			{Name: "https/example.com/a", Typeflag: tar.TypeChar},
		}, "", "is not the file of a policy"},
		"too large": {[]*tar.Header{
			good,
			{Name: "https/example.com/a", Typeflag: tar.TypeReg},
		}, "larger than thirty-two bytes is this", "raise --module-size"},
		"too many": {[]*tar.Header{good, good, good, good}, "", "more than 3 entries"},
		"too large all": {[]*tar.Header{
			good,
			{
				Name: "https/example.com", Typeflag: tar.TypeReg,
				PAXRecords: map[string]string{"comment": strings.Repeat("a", 4096)},
			},
		}, "", "more than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "policies.tar.gz")
			writeArchive(t, path, test.headers, module(test.text))
			s := New(filepath.Join(t.TempDir(), "store"))
			s.maxEntries, s.maxArchiveBytes = 3, 4096
			_, err := s.Load(path, 32)
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, path)
			require.NoDirExists(t, s.Root())
		})
	}
	s := New(filepath.Join(t.TempDir(), "store"))
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("text"), 0o600))
	_, err := s.Load(text, 32)
	require.ErrorContains(t, err, "not an archive from save")
	_, err = s.Load("/none", 32)
	require.ErrorIs(t, err, os.ErrNotExist)
	writeArchive(t, text, []*tar.Header{good}, []byte("text"))
	_, err = s.Load(text, 32)
	require.ErrorContains(t, err, "not a WebAssembly module")
}

func writeArchive(t *testing.T, path string, headers []*tar.Header, content []byte) {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	for _, header := range headers {
		h := *header
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		require.NoError(t, archive.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := archive.Write(content)
			require.NoError(t, err)
		}
	}
	require.NoError(t, archive.Close())
	require.NoError(t, zip.Close())
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
}

func list(t *testing.T, s *Store) (uris []string) {
	t.Helper()
	require.NoError(t, s.Each(func(uri string, _ []byte) error {
		uris = append(uris, uri)
		return nil
	}))
	return uris
}

// No name in an archive leads out of the store, and each place has exactly one URI.
func FuzzPlaces(f *testing.F) {
	f.Add("https/example.com/a")
	f.Add("registry/example.com/a:v1")
	f.Add("https/../a")
	f.Fuzz(func(t *testing.T, place string) {
		if uri, ok := uriOf(place); ok {
			got, err := Place(uri)
			require.NoError(t, err)
			require.Equal(t, place, got)
			require.True(t, filepath.IsLocal(place))
			require.NotContains(t, strings.Split(place, "/"), "..")
		}
	})
}
