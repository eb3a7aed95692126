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

package layout_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/layout"
)

const marker = `{"imageLayoutVersion":"1.0.0"}`

type entry struct {
	name, content string
	typeflag      byte
}

// tarOf returns a tar.
func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		header := &tar.Header{
			Name:     e.name,
			Mode:     0o600,
			Size:     int64(len(e.content)),
			Typeflag: tar.TypeReg,
		}
		if e.typeflag != 0 {
			header.Typeflag, header.Size, header.Linkname = e.typeflag, 0, "/etc/passwd"
		}
		require.NoError(t, w.WriteHeader(header))
		_, err := w.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func openBytes(t *testing.T, content []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layout.tar")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	_, err := layout.Open(path, layout.Options{})
	return err
}

// Nothing is unpacked. A tar with an entry that could lead out of the layout is rejected as a
// whole.
func TestHostileTars(t *testing.T) {
	good := []entry{{name: "oci-layout", content: marker},
		{name: "index.json", content: `{"manifests":[]}`}}
	with := func(more ...entry) []byte { return tarOf(t, append(good[:2:2], more...)...) }
	require.NoError(t, openBytes(t, with()))
	require.NoError(t,
		openBytes(t,
			with(entry{name: "blobs/", typeflag: tar.TypeDir},
				entry{name: "manifest.json", content: "docker's"})))
	require.NoError(t,
		openBytes(t,
			tarOf(t, entry{name: "./oci-layout", content: marker},
				entry{name: "./index.json", content: "{}"})), "as tar -C layout . writes it")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(with())
	require.NoError(t, err)
	require.NoError(t, z.Close())
	blob := "blobs/sha256/" + strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"symbolic link": {with(entry{name: blob, typeflag: tar.TypeSymlink}),
			`is a tar with "` + blob + `" in it, which is not a regular file but of type '2'`},
		"hard link": {with(entry{name: "any", typeflag: tar.TypeLink}),
			`which is not a regular file but of type '1'`},
		"device": {with(entry{name: "any", typeflag: tar.TypeChar}),
			`which is not a regular file but of type '3'`},
		"pipe": {with(entry{name: "any", typeflag: tar.TypeFifo}),
			`which is not a regular file but of type '6'`},
		"upwards": {with(entry{name: "../index.json"}),
			`is a tar with "../index.json" in it, which is outside of the layout`},
		"up by a detour": {with(entry{name: "blobs/../../x"}),
			`is a tar with "blobs/../../x" in it, which is outside of the layout`},
		"absolute": {with(entry{name: "/etc/passwd"}),
			`is a tar with "/etc/passwd" in it, which is outside of the layout`},
		"twice": {with(entry{name: "blobs/../index.json", content: "{}"}),
			"is a tar with two files index.json"},
		"cut": {with(entry{name: blob, content: strings.Repeat("a", 4096)})[:4096],
			"ends in " + blob + ": copy it again"},
		"compressed": {zipped.Bytes(), "is compressed: decompress it (gunzip)"},
		"no tar":     {bytes.Repeat([]byte("no tar"), 1000), "cannot be read as a tar"},
		"empty":      {nil, "is not an OCI image layout: it has no oci-layout"},
		"no index":   {tarOf(t, good[0]), "is not an OCI image layout: it has no index.json"},
		"large marker": {tarOf(t,
			entry{name: "oci-layout", content: marker + strings.Repeat(" ", 4096)}),
			"its oci-layout has 4126 bytes, at most 4096 are allowed"},
		"index of many parts": {tarOf(t, good[0],
			entry{
				name:    "index.json",
				content: `{"manifests":[{}` + strings.Repeat(",{}", 100_000) + `]}`,
			}), "it has more than 200000 parts"},
		"large index": {tarOf(t, good[0],
			entry{name: "index.json", content: strings.Repeat(" ", 8<<20+1)}),
			"its index.json has 8388609 bytes, at most 8388608 are allowed"},
	} {
		require.ErrorContains(t, openBytes(t, test.content), test.want, name)
	}
}

// A tar writer cannot write these headers.
func TestHostileHeaders(t *testing.T) {
	name := "blobs/sha256/" + strings.Repeat("0", 64)
	require.NoError(t,
		layout.AddTo(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 512}, 1024))
	for want, header := range map[string]*tar.Header{
		"which is a sparse file": {
			Typeflag: tar.TypeReg, Name: name,
			PAXRecords: map[string]string{"GNU.sparse.major": "1"},
		},
		"of type 'S'":                   {Typeflag: tar.TypeGNUSparse, Name: name},
		"is a tar that ends in":         {Typeflag: tar.TypeReg, Name: name, Size: 513},
		"is a tar that ends in " + name: {Typeflag: tar.TypeReg, Name: name, Size: -1},
	} {
		require.ErrorContains(t, layout.AddTo(header, 1024), want)
	}
}

func TestTooManyEntries(t *testing.T) {
	var entries []entry
	for n := range 100_001 {
		entries = append(entries, entry{name: fmt.Sprint(n)})
	}
	require.ErrorContains(t, openBytes(t, tarOf(t, entries...)),
		"is a tar of more than 100000 entries")
}

func TestHostileIndexes(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	for index, want := range map[string]string{
		`[`: "its index.json cannot be read",
		fmt.Sprintf(
			`{"manifests":[{"digest":%q,"size":1,"annotations":{%q:"v1"}},{"digest":%q,"size":1,"annotations":{%[2]q:"v1"}}]}`,
			a, ocispec.AnnotationRefName, b): `its index.json says that "v1" is both ` + a.String() +
			" and " + b.String(),
		`{"manifests":[{"digest":"sha512:00","size":1}]}`:         `entry 0 of its index.json has digest "sha512:00" and 1 bytes: only SHA-256 is supported`,
		fmt.Sprintf(`{"manifests":[{"digest":%q,"size":-1}]}`, a): "and -1 bytes",
		fmt.Sprintf(`{"manifests":[{"digest":"%s/../x","size":1}]}`,
			a): "only SHA-256 is supported",
	} {
		require.ErrorContains(t,
			openBytes(t,
				tarOf(t, entry{name: "oci-layout", content: marker},
					entry{name: "index.json", content: index})), want)
	}
	require.ErrorContains(t,
		openBytes(t,
			tarOf(t, entry{name: "oci-layout", content: `{"imageLayoutVersion":"2.0.0"}`},
				entry{name: "index.json", content: "{}"})),
		`has version "2.0.0", not 1.0.0`)
}
