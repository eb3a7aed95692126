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
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/pkg/layout"
)

const name = "registry.example.com/policies/policy"

// sample is the content of the layouts in these tests.
type sample struct {
	t         *testing.T
	directory string
	blob      ocispec.Descriptor
	manifest  ocispec.Descriptor
	referrer  ocispec.Descriptor
}

func manifestOf(t *testing.T, config ocispec.Descriptor, subject *ocispec.Descriptor,
	layers ...ocispec.Descriptor) []byte {
	t.Helper()
	content, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: layers, Subject: subject,
	})
	require.NoError(t, err)
	return content
}

// newSample writes a layout with a manifest of one layer and a manifest that refers to it, in
// either order.
func newSample(t *testing.T, backwards bool) *sample {
	t.Helper()
	s := &sample{t: t, directory: t.TempDir()}
	w, err := layout.NewWriter(s.directory)
	require.NoError(t, err)
	add := func(mediaType string, content []byte) ocispec.Descriptor {
		d, err := w.Blob(mediaType, content)
		require.NoError(t, err)
		return d
	}
	config := add(ocispec.MediaTypeEmptyJSON, []byte("{}"))
	s.blob = add("text/plain", []byte("content"))
	s.manifest = add(ocispec.MediaTypeImageManifest, manifestOf(t, config, nil, s.blob))
	s.referrer = add(ocispec.MediaTypeImageManifest, manifestOf(t, config, &s.manifest, config))
	named := func(name string) ocispec.Descriptor {
		entry := s.manifest
		entry.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		return entry
	}
	file := s.manifest
	file.Annotations = map[string]string{layout.AnnotationURI: "https://example.com/policy.wasm"}
	entries := []ocispec.Descriptor{named(name + ":v1"), named("v2"), s.referrer, s.referrer, file}
	for n := range entries {
		if backwards {
			n = len(entries) - 1 - n
		}
		require.NoError(t, w.Entry(entries[n]))
	}
	require.NoError(t, w.Close())
	return s
}

func (s *sample) blobPath(d ocispec.Descriptor) string {
	return filepath.Join(s.directory, "blobs", "sha256", d.Digest.Encoded())
}

// tar writes the directory to a tar.
func (s *sample) tar() string {
	s.t.Helper()
	var b bytes.Buffer
	require.NoError(s.t, layout.WriteTar(&b, s.directory))
	path := filepath.Join(s.t.TempDir(), "layout.tar")
	require.NoError(s.t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func open(t *testing.T, path string) *layout.Layout {
	t.Helper()
	l, err := layout.Open(path, layout.Options{})
	require.NoError(t, err)
	return l
}

func TestReading(t *testing.T) {
	s := newSample(t, false)
	for kind, path := range map[string]string{"directory": s.directory, "tar": s.tar()} {
		t.Run(kind, func(t *testing.T) {
			l := open(t, path)
			ctx := t.Context()
			for repository, references := range map[string][]string{
				name: {"v1", s.manifest.Digest.String()},
				"":   {"v2", name + ":v1"},
			} {
				for _, reference := range references {
					got, err := l.Repository(repository).Resolve(ctx, reference)
					require.NoError(t, err)
					require.Equal(t, s.manifest, got)
				}
			}
			for _, absent := range []string{"v2", "latest", digest.FromString("nothing").String()} {
				_, err := l.Repository(name).Resolve(ctx, absent)
				require.ErrorIs(t, err, errdef.ErrNotFound)
			}
			referrers, err := l.Repository(name).Predecessors(ctx, s.manifest)
			require.NoError(t, err)
			require.Equal(t, []ocispec.Descriptor{s.referrer}, referrers)

			content, err := l.Read(ctx, s.blob, 7)
			require.NoError(t, err)
			require.Equal(t, "content", string(content))
			_, err = l.Read(ctx, s.blob, 6)
			require.ErrorContains(t, err, "has 7 bytes, at most 6 are allowed")
			_, err = l.Read(ctx,
				ocispec.Descriptor{Digest: digest.FromString("nothing"), Size: 7}, 7)
			require.ErrorIs(t, err, errdef.ErrNotFound)
			_, err = l.Read(ctx, ocispec.Descriptor{Digest: "sha256:../../index.json", Size: 7}, 7)
			require.ErrorContains(t, err, "only SHA-256 is supported")

			file, err := l.File("https://example.com/policy.wasm")
			require.NoError(t, err)
			require.Equal(t, s.manifest, file)
			_, err = l.File("https://example.com/other.wasm")
			require.ErrorIs(t, err, errdef.ErrNotFound)
		})
	}
}

// The same content gives the same bytes, in whatever order it is added.
func TestWritingIsReproducible(t *testing.T) {
	one, err := os.ReadFile(newSample(t, false).tar())
	require.NoError(t, err)
	other, err := os.ReadFile(newSample(t, true).tar())
	require.NoError(t, err)
	require.Equal(t, digest.FromBytes(one), digest.FromBytes(other))
}

func TestNamesAreUnique(t *testing.T) {
	w, err := layout.NewWriter(t.TempDir())
	require.NoError(t, err)
	annotations := map[string]string{ocispec.AnnotationRefName: "v1"}
	require.NoError(t,
		w.Entry(ocispec.Descriptor{Digest: digest.FromString("a"), Annotations: annotations}))
	require.NoError(t,
		w.Entry(ocispec.Descriptor{Digest: digest.FromString("a"), Annotations: annotations}))
	require.ErrorContains(t,
		w.Entry(ocispec.Descriptor{Digest: digest.FromString("b"), Annotations: annotations}),
		"v1 is both sha256:")
}

// oras, and every program that uses its library, can read and write the same layouts.
func TestOrasReadsAndWritesTheSame(t *testing.T) {
	ctx := context.Background()
	s := newSample(t, false)
	fromFiles, err := oci.NewFromFS(ctx, os.DirFS(s.directory))
	require.NoError(t, err)
	fromTar, err := oci.NewFromTar(ctx, s.tar())
	require.NoError(t, err)
	for _, theirs := range []oras.ReadOnlyGraphTarget{fromFiles, fromTar} {
		got, err := oras.Copy(ctx, theirs, name+":v1", memory.New(), "", oras.DefaultCopyOptions)
		require.NoError(t, err)
		require.Equal(t, s.manifest.Digest, got.Digest)
		referrers, err := theirs.Predecessors(ctx, s.manifest)
		require.NoError(t, err)
		require.Equal(t, []digest.Digest{s.referrer.Digest}, []digest.Digest{referrers[0].Digest})
	}

	copied := t.TempDir()
	theirs, err := oci.New(copied)
	require.NoError(t, err)
	_, err = oras.ExtendedCopy(ctx, fromFiles, name+":v1", theirs, "v3",
		oras.DefaultExtendedCopyOptions)
	require.NoError(t, err)
	repository := open(t, copied).Repository("")
	got, err := repository.Resolve(ctx, "v3")
	require.NoError(t, err)
	require.Equal(t, s.manifest.Digest, got.Digest)
	referrers, err := repository.Predecessors(ctx, got)
	require.NoError(t, err)
	require.Len(t, referrers, 1)
	require.Equal(t, s.referrer.Digest, referrers[0].Digest)
}

// A read fails if the content does not match its digest.
func TestTamperedBlobs(t *testing.T) {
	for name, tamper := range map[string]func(path string) error{
		"another content": func(path string) error {
			return os.WriteFile(path, []byte("Content"), 0o600)
		},
		"another size": func(path string) error {
			return os.WriteFile(path, []byte("content and more"), 0o600)
		},
		"gone": os.Remove,
	} {
		s := newSample(t, false)
		require.NoError(t, tamper(s.blobPath(s.blob)), name)
		for _, path := range []string{s.directory, s.tar()} {
			_, err := open(t, path).Read(t.Context(), s.blob, 100)
			want := orascontent.ErrMismatchedDigest
			if name == "gone" {
				want = errdef.ErrNotFound
			}
			require.ErrorIs(t, err, want, name)
			require.ErrorContains(t, err, s.blob.Digest.String())
		}
	}
}

// A damaged manifest refers to nothing.
func TestDamagedReferrers(t *testing.T) {
	s := newSample(t, false)
	require.NoError(t, os.WriteFile(s.blobPath(s.referrer), []byte("{}"), 0o600))
	referrers, err := open(t, s.directory).Repository(name).Predecessors(t.Context(), s.manifest)
	require.NoError(t, err)
	require.Empty(t, referrers)
}

func TestChanges(t *testing.T) {
	s := newSample(t, false)
	tar := s.tar()
	fromTar, fromDirectory := open(t, tar), open(t, s.directory)
	require.False(t, fromTar.Changed())
	require.False(t, fromDirectory.Changed())

	require.NoError(t, os.Rename(newSample(t, true).tar(), tar))
	require.True(t, fromTar.Changed())
	_, err := fromTar.Read(t.Context(), s.blob, 100)
	require.ErrorContains(t, err, "has changed while it was read")
	index := filepath.Join(s.directory, ocispec.ImageIndexFile)
	content, err := os.ReadFile(index)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(index, append(content, ' '), 0o600))
	require.True(t, fromDirectory.Changed())
	require.NoError(t, os.Remove(index))
	require.True(t, fromDirectory.Changed())
}

// A server reads no files that other users could have written. People can.
func TestOwnership(t *testing.T) {
	s := newSample(t, false)
	tar := s.tar()
	for _, path := range []string{
		tar,
		s.blobPath(s.blob),
		filepath.Join(s.directory, ocispec.ImageIndexFile),
	} {
		require.NoError(t, os.Chmod(path, 0o666))
	}
	for _, path := range []string{tar, s.directory} {
		_, err := layout.Open(path, layout.Options{})
		require.ErrorContains(t, err, "group and others must not be able to write it")
		_, err = layout.Open(path, layout.Options{AnyOwner: true})
		require.NoError(t, err)
	}
	require.NoError(t, os.Chmod(filepath.Join(s.directory, ocispec.ImageIndexFile), 0o600))
	_, err := open(t, s.directory).Read(t.Context(), s.blob, 100)
	require.ErrorContains(t, err, "group and others must not be able to write it")
}

func TestOpenErrors(t *testing.T) {
	_, err := layout.Open("layout", layout.Options{})
	require.EqualError(t, err, "layout layout: is not an absolute path")
	_, err = layout.Open(filepath.Join(t.TempDir(), "none"), layout.Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = layout.Open(t.TempDir(), layout.Options{})
	require.ErrorContains(t, err, "is not an OCI image layout")
}
