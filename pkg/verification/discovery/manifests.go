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

package discovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Manifest is a manifest that contains signatures, for callers that copy them.
type Manifest struct {
	// Tag is the required tag of the manifest: sha256-<hex>.sig, or "" for one that refers to the
	// artifact.
	Tag string
	// Descriptor describes the content.
	Descriptor ocispec.Descriptor
	Content    []byte
	// Blobs lists the configuration and the layers of the manifest, without duplicates.
	Blobs []ocispec.Descriptor
}

// Manifests returns the manifests that [Find] would read, without opening them. Damaged or excess
// manifests are an error, so the result is complete.
func Manifests(ctx context.Context, source oras.ReadOnlyGraphTarget,
	artifact ocispec.Descriptor) (found []Manifest, err error) {
	if !moduleuri.IsDigest(artifact.Digest.String()) {
		return nil, fmt.Errorf(
			"an artifact with digest %.100q cannot have signatures: only SHA-256 is supported",
			artifact.Digest)
	}
	f := &finder{source: source, manifest: artifact,
		yield: func(_ *verification.Candidate, problem error) bool {
			err = problem
			return false
		}}
	tag := f.tag() + ".sig"
	mediaType, body, problem := f.tagged(ctx, tag)
	switch {
	case problem == nil &&
		(mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest):
		m, err := parseManifest(mediaType, body)
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", tag, err)
		}
		m.Tag = tag
		found = append(found, m)
	case problem != nil && !errors.Is(problem, errdef.ErrNotFound):
		return nil, fmt.Errorf("tag %s: %w", tag, redact(problem))
	}
	l := &referrerList{finder: f, seen: map[string]bool{artifact.Digest.String(): true}}
	if !l.fromAPI(ctx) || !l.fromTag(ctx) {
		return nil, err
	}
	if l.more {
		return nil, fmt.Errorf("referrers are more than %d", MaxCandidates)
	}
	for _, descriptor := range l.descriptors {
		body, manifest, err := l.manifestOf(ctx, descriptor)
		if err == nil && hasBundle(manifest) {
			var m Manifest
			m, err = parseManifest(descriptor.MediaType, body)
			found = append(found, m)
		}
		if err != nil {
			return nil, fmt.Errorf("referrer %s: %w", descriptor.Digest, redact(err))
		}
	}
	return found, nil
}

func parseManifest(mediaType string, body []byte) (Manifest, error) {
	var parsed ocispec.Manifest
	if err := decode(body, &parsed); err != nil {
		return Manifest{}, notACandidate("is not a manifest: %w", err)
	}
	m := Manifest{
		Descriptor: ocispec.Descriptor{
			MediaType:    mediaType,
			ArtifactType: parsed.ArtifactType,
			Digest:       digest.FromBytes(body),
			Size:         int64(len(body)),
		},
		Content: body,
	}
	seen := map[digest.Digest]bool{}
	for _, blob := range append([]ocispec.Descriptor{parsed.Config}, parsed.Layers...) {
		if !seen[blob.Digest] { // several signatures of one payload are layers with the same digest
			seen[blob.Digest] = true
			m.Blobs = append(m.Blobs, blob)
		}
	}
	return m, nil
}
