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

package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/content/oci"
)

// build makes a release of a program that differs by platform. Its SBOM differs each time.
func build(t *testing.T, namespace, created string) string {
	t.Helper()
	in, out := t.TempDir(), t.TempDir()
	for _, platform := range []string{"linux-amd64", "linux-arm64"} {
		write(t, filepath.Join(in, platform, "program"), "a program for "+platform)
		write(t, filepath.Join(in, platform, "program.json"),
			`{"spdxVersion":"SPDX-2.3","documentNamespace":"`+namespace+
				`","creationInfo":{"created":"`+created+`"},"name":"program"}`)
	}
	write(t, filepath.Join(in, "deploy", "pod", "pod.yaml"),
		"image: ghcr.io/wasm-admission/program:v0.0.0-VERSION\n")
	write(t, filepath.Join(in, "LICENSE"), "all is allowed")
	r, err := parse([]string{
		"-programs", in, "-sboms", in, "-manifests", filepath.Join(in, "deploy"), "-output", out,
		"-version", "v1.2.3", "-date", "2026-11-28T12:00:00+02:00",
		"-registry", "registry.example.com/team", "-documents", filepath.Join(in, "LICENSE"),
		"program:v1.2.3",
	})
	require.NoError(t, err)
	require.NoError(t, r.write(t.Context()))
	return out
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func TestEqualProgramsMakeEqualFiles(t *testing.T) {
	first := build(t, "https://example.com/1", "2026-01-01T00:00:00Z")
	second := build(t, "https://example.com/2", "2026-01-02T00:00:00Z")
	var files int
	require.NoError(t,
		filepath.WalkDir(first, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			files++
			relative, err := filepath.Rel(first, path)
			require.NoError(t, err)
			a, err := os.ReadFile(path)
			require.NoError(t, err)
			b, err := os.ReadFile(filepath.Join(second, relative))
			require.NoError(t, err)
			require.Equal(t, a, b, relative)
			return nil
		}))
	require.Greater(t, files, 10)
}

func TestImagesHoldTheProgramForTheirPlatform(t *testing.T) {
	out := build(t, "https://example.com/1", "2026-01-01T00:00:00Z")
	path := filepath.Join(out, "images", "program-v1.2.3.oci")
	index, err := layout.ImageIndexFromPath(path)
	require.NoError(t, err)
	all, err := index.IndexManifest()
	require.NoError(t, err)
	require.Equal(t, "v1.2.3", all.Manifests[0].Annotations[ocispec.AnnotationRefName])
	program, err := index.ImageIndex(all.Manifests[0].Digest)
	require.NoError(t, err)
	require.NoError(t, validate.Index(program))
	manifests, err := program.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifests.Manifests, 2)
	for _, described := range manifests.Manifests {
		image, err := program.Image(described.Digest)
		require.NoError(t, err)
		files := contents(t, image)
		require.Equal(t, "a program for linux-"+described.Platform.Architecture,
			files["usr/local/bin/program"])
		require.Contains(t, files["etc/ssl/certs/ca-certificates.crt"],
			"-----BEGIN CERTIFICATE-----")
		config, err := image.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, described.Platform.Architecture, config.Architecture)
		require.Contains(t, config.Config.Env, "PATH=/usr/local/bin")

		archive := filepath.Join(out, "images",
			"program-v1.2.3-linux-"+described.Platform.Architecture+".docker.tar")
		loaded, err := tarball.ImageFromPath(archive, nil)
		require.NoError(t, err)
		require.NoError(t, validate.Image(loaded))
		require.Equal(t, files, contents(t, loaded))
	}
}

// contents returns the files in an image.
func contents(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	reader := mutate.Extract(image)
	defer func() { _ = reader.Close() }()
	return untar(t, reader)
}

func untar(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for reader := tar.NewReader(archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		require.Zero(t, header.Uid, header.Name)
		content, err := io.ReadAll(reader)
		require.NoError(t, err)
		files[header.Name] = string(content)
	}
}

func TestSBOMsReferToTheirImages(t *testing.T) {
	out := build(t, "https://example.com/1", "2026-01-01T00:00:00Z")
	store, err := oci.New(filepath.Join(out, "images", "program-v1.2.3.oci"))
	require.NoError(t, err)
	tagged, err := store.Resolve(t.Context(), "v1.2.3")
	require.NoError(t, err)
	index := fetch[ocispec.Index](t, store, tagged)
	require.Len(t, index.Manifests, 2)
	for _, image := range index.Manifests {
		predecessors, err := store.Predecessors(t.Context(), image)
		require.NoError(t, err)
		var documents []string
		for _, predecessor := range predecessors {
			if predecessor.Digest == tagged.Digest {
				continue // the index holds the image
			}
			manifest := fetch[ocispec.Manifest](t, store, predecessor)
			require.Equal(t, spdxType, manifest.ArtifactType)
			require.Equal(t, image.Digest, manifest.Subject.Digest)
			document := fetch[map[string]any](t, store, manifest.Layers[0])
			documents = append(documents, document["documentNamespace"].(string))
			require.Equal(t, "2026-11-28T10:00:00Z",
				document["creationInfo"].(map[string]any)["created"])
		}
		require.Len(t, documents, 1)
		require.Contains(t, documents[0], "/spdx/program-linux-"+image.Platform.Architecture+"-")
	}
}

func fetch[T any](t *testing.T, store *oci.Store, described ocispec.Descriptor) T {
	t.Helper()
	reader, err := store.Fetch(t.Context(), described)
	require.NoError(t, err)
	defer func() { _ = reader.Close() }()
	var fetched T
	require.NoError(t, json.NewDecoder(reader).Decode(&fetched))
	return fetched
}

func TestInvalidSBOMsAreRejected(t *testing.T) {
	for _, document := range []string{
		``, `{}`, `{"documentNamespace":"x"}`, `{"creationInfo":{}}`,
	} {
		_, err := normalize([]byte(document), "namespace", time.Unix(0, 0))
		require.Error(t, err, document)
	}
}

func TestManifestsNameTheReleasedImages(t *testing.T) {
	out := build(t, "https://example.com/1", "2026-01-01T00:00:00Z")
	compressed, err := os.Open(filepath.Join(out, "manifests-v1.2.3.tar.gz"))
	require.NoError(t, err)
	defer func() { _ = compressed.Close() }()
	reader, err := gzip.NewReader(compressed)
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"manifests-v1.2.3/":             "",
		"manifests-v1.2.3/pod/":         "",
		"manifests-v1.2.3/pod/pod.yaml": "image: registry.example.com/team/program:v1.2.3\n",
	}, untar(t, reader))
}

func TestChecksumsCoverEverythingButLayouts(t *testing.T) {
	out := build(t, "https://example.com/1", "2026-01-01T00:00:00Z")
	sums, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	require.NoError(t, err)
	require.Regexp(t,
		`^([0-9a-f]{64}  (images/|sboms/)?(program-v1\.2\.3-linux-(amd64|arm64)|manifests-v1\.2\.3)\.(tar\.gz|docker\.tar|spdx\.json)\n){7}$`,
		string(sums))
}
