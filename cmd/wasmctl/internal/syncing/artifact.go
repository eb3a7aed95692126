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

// Package syncing keeps sets of policies in registries, and brings them into the policy directories
// of servers.
package syncing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

const (
	// ArtifactType is that of a set of policies in a registry. Each layer is a manifest, which has
	// its file name as the annotation org.opencontainers.image.title. Signatures of anything else
	// are not taken for signatures of a set.
	ArtifactType = "application/vnd.wasm-admission.policies.v1"
	// fileType is the media type of the layers that we write. That of others may be any.
	fileType = "application/yaml"

	// maxManifestBytes bounds the OCI manifest of a set, which has some 300 bytes for each file.
	maxManifestBytes = 1 << 20
	// maxFiles, maxFileBytes and maxBytes bound the files of a set, as the server bounds those of a
	// policy directory.
	maxFiles     = kubewarden.MaxEntries
	maxFileBytes = kubewarden.MaxFileSize
	maxBytes     = kubewarden.MaxTotalSize
)

// fileName are the names that a file of a set may have: what a server reads, directly in its policy
// directory.
var fileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,200}\.(yaml|yml|json)$`)

// file is a manifest of a policy.
type file struct {
	name    string
	content []byte
}

// IsDirectory says whether a path is that of a directory, which may hold a set.
func IsDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Push pushes the manifests in a directory as a set to the tag that a registry:// URI names. It
// returns what names these files and no others, without a scheme: host/repository@sha256:… The same
// files make the same digest. Mirrors that the registries may have get nothing if the caller left
// them out.
func Push(ctx context.Context, registries *module.Registries, directory,
	uri string) (reference string, err error) {
	files, err := readDirectory(directory)
	if err != nil {
		return "", err
	}
	ref, err := moduleuri.ParseReference(strings.TrimPrefix(uri, "registry://"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", module.Redact(uri), err)
	}
	if ref.Digest != "" {
		return "", fmt.Errorf(
			"%s: a digest is what comes of a push: name a tag", module.Redact(uri))
	}
	err = registries.Each(ctx, uri, func(to *remote.Repository, tag string) error {
		digest, err := push(ctx, to, tag, files)
		reference = ref.Registry + "/" + ref.Repository + "@" + digest
		return err
	})
	return reference, err
}

func push(ctx context.Context, to *remote.Repository, tag string,
	files []file) (digest string, err error) {
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: ArtifactType,
		Config:       ocispec.DescriptorEmptyJSON,
	}
	manifest.Config.Data = nil // it is a blob as others are
	if err := pushBlob(ctx, to, manifest.Config, ocispec.DescriptorEmptyJSON.Data); err != nil {
		return "", err
	}
	for _, f := range files {
		layer := orascontent.NewDescriptorFromBytes(fileType, f.content)
		if err := pushBlob(ctx, to, layer, f.content); err != nil {
			return "", err
		}
		layer.Annotations = map[string]string{ocispec.AnnotationTitle: f.name}
		manifest.Layers = append(manifest.Layers, layer)
	}
	content, err := json.Marshal(manifest)
	if err != nil {
		return "", err
	}
	descriptor := orascontent.NewDescriptorFromBytes(manifest.MediaType, content)
	return descriptor.Digest.String(),
		to.PushReference(ctx, descriptor, bytes.NewReader(content), tag)
}

// pushBlob pushes what the repository does not have.
func pushBlob(ctx context.Context, to *remote.Repository, descriptor ocispec.Descriptor,
	content []byte) error {
	exists, err := to.Blobs().Exists(ctx, descriptor)
	if err != nil || exists {
		return err
	}
	return to.Blobs().Push(ctx, descriptor, bytes.NewReader(content))
}

// readDirectory reads what a server would read in a policy directory.
func readDirectory(directory string) (files []file, err error) {
	entries, err := os.ReadDir(directory) // in the order of their names
	if err != nil {
		return nil, err
	}
	total := 0
	for _, entry := range entries {
		name := entry.Name()
		if !kubewarden.IsManifest(name) {
			continue
		}
		path := filepath.Join(directory, name)
		if !fileName.MatchString(name) {
			return nil, fmt.Errorf(
				"%s: rename it: names of files are of letters, digits, dots, dashes and underscores",
				path)
		}
		content, err := readFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, content})
		total += len(content)
	}
	switch {
	case len(files) == 0:
		return nil, fmt.Errorf(
			"%s: there is no manifest: their names end with .yaml, .yml or .json",
			directory)
	case len(files) > maxFiles:
		return nil, fmt.Errorf("%s: there are %d manifests, at most %d are allowed", directory,
			len(files), maxFiles)
	case total > maxBytes:
		return nil, fmt.Errorf("%s: the manifests have %d bytes, at most %d are allowed", directory,
			total, maxBytes)
	}
	return files, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFileBytes)
	}
	return content, err
}

// set is a set as its OCI manifest has it: nothing of it was read yet.
type set struct {
	manifest ocispec.Descriptor
	layers   []ocispec.Descriptor
}

// nameOf is the name of a file of a set.
func nameOf(layer ocispec.Descriptor) string { return layer.Annotations[ocispec.AnnotationTitle] }

// fetchSet reads the OCI manifest that a tag or a digest stands for.
func fetchSet(ctx context.Context, from *remote.Repository, name string) (*set, error) {
	descriptor, body, err := from.FetchReference(ctx, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	content, err := io.ReadAll(io.LimitReader(body, maxManifestBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxManifestBytes {
		return nil, fmt.Errorf("its manifest has more than %d bytes", maxManifestBytes)
	}
	s := &set{manifest: orascontent.NewDescriptorFromBytes(descriptor.MediaType, content)}
	if got := s.manifest.Digest.String(); moduleuri.IsDigest(name) && got != name {
		return nil, fmt.Errorf(
			"the registry answers with %s when asked for %s: do not trust it before you know why",
			got, name)
	}
	s.layers, err = layersOf(descriptor.MediaType, content)
	return s, err
}

// layersOf decodes and checks a manifest. What it says of files is bounded before any is fetched.
func layersOf(mediaType string, content []byte) ([]ocispec.Descriptor, error) {
	var manifest ocispec.Manifest
	err := jsonparts.Check(content, jsonparts.MaxManifest)
	if err == nil {
		err = json.Unmarshal(content, &manifest)
	}
	if err != nil {
		return nil, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if manifest.MediaType != ocispec.MediaTypeImageManifest ||
		manifest.ArtifactType != ArtifactType {
		return nil, fmt.Errorf(
			"it is no set of policies: its mediaType is %.100q and its artifactType %.100q, not %s and %s: push it with wasmctl push DIRECTORY URI",
			manifest.MediaType, manifest.ArtifactType, ocispec.MediaTypeImageManifest,
			ArtifactType)
	}
	if mediaType != manifest.MediaType {
		return nil, fmt.Errorf("its mediaType is %s, but the registry says that it is %.100q",
			manifest.MediaType, mediaType)
	}
	if n := len(manifest.Layers); n == 0 || n > maxFiles {
		return nil, fmt.Errorf("it has %d files, from 1 to %d are allowed", n, maxFiles)
	}
	seen, total := map[string]bool{}, int64(0)
	for _, layer := range manifest.Layers {
		name := nameOf(layer)
		switch {
		case !fileName.MatchString(name):
			return nil, fmt.Errorf(
				"it has a file called %.100q: names end with .yaml, .yml or .json, and are of letters, digits, dots, dashes and underscores",
				name)
		case seen[name]:
			return nil, fmt.Errorf("it has two files called %s", name)
		case !moduleuri.IsDigest(layer.Digest.String()):
			return nil, fmt.Errorf(
				"%s has digest %.100q: only SHA-256 is supported", name, layer.Digest)
		case layer.Size < 0 || layer.Size > maxFileBytes:
			return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", name, layer.Size,
				maxFileBytes)
		}
		seen[name] = true
		if total += layer.Size; total > maxBytes {
			return nil, fmt.Errorf("its files have more than %d bytes", maxBytes)
		}
	}
	return manifest.Layers, nil
}

// fetch reads the files of a set, and compares their digests.
func (s *set) fetch(ctx context.Context, from *remote.Repository) (files []file, err error) {
	for _, layer := range s.layers {
		content, err := fetchBlob(ctx, from, layer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", nameOf(layer), err)
		}
		files = append(files, file{nameOf(layer), content})
	}
	return files, nil
}

func fetchBlob(ctx context.Context, from *remote.Repository,
	layer ocispec.Descriptor) (content []byte, err error) {
	body, err := from.Blobs().Fetch(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return orascontent.ReadAll(body, layer)
}
