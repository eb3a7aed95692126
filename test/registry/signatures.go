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

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// Media types that cosign uses.
const (
	PayloadMediaType = "application/vnd.dev.cosign.simplesigning.v1+json"
	BundleMediaType  = "application/vnd.dev.sigstore.bundle.v0.3+json"
)

// Layer is a layer of a signature image.
type Layer struct {
	// Payload is the signed content.
	Payload []byte
	// Annotations contain the signature and related data.
	Annotations map[string]string
}

// SignatureTag returns the tag to which cosign 2 writes the signatures of a manifest.
func SignatureTag(manifest string) string { return strings.Replace(manifest, ":", "-", 1) + ".sig" }

// PushSignatures pushes a signature image for a manifest, as cosign 2 does, and returns its digest.
func (r *Registry) PushSignatures(t testing.TB, name, manifest string, layers ...Layer) string {
	t.Helper()
	image := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    r.PushBlob(t, name, ocispec.MediaTypeImageConfig, []byte("{}")),
	}
	for _, layer := range layers {
		descriptor := r.PushBlob(t, name, PayloadMediaType, layer.Payload)
		descriptor.Annotations = layer.Annotations
		image.Layers = append(image.Layers, descriptor)
	}
	return r.PushManifest(t, name, SignatureTag(manifest), image)
}

// PushReferrer pushes an artifact that refers to a manifest, as cosign 3 does with bundles, and
// returns its digest. If the registry has no referrers API, it updates the index at the fallback
// tag.
func (r *Registry) PushReferrer(t testing.TB, name, manifest, mediaType string,
	blobs ...[]byte) string {
	t.Helper()
	repository := r.Repository(t, name)
	repository.SkipReferrersGC = true
	subject, err := repository.Resolve(context.Background(), manifest)
	require.NoError(t, err)
	referrer := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: mediaType,
		Config:       r.PushBlob(t, name, mediaType, []byte("{}")),
		Subject:      &subject,
	}
	for _, blob := range blobs {
		referrer.Layers = append(referrer.Layers, r.PushBlob(t, name, mediaType, blob))
	}
	content, err := json.Marshal(referrer)
	require.NoError(t, err)
	descriptor := ocispec.Descriptor{
		MediaType: referrer.MediaType,
		Digest:    digest.FromBytes(content),
		Size:      int64(len(content)),
	}
	require.NoError(t, repository.Push(context.Background(), descriptor, bytes.NewReader(content)))
	return descriptor.Digest.String()
}
