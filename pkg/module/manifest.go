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
	"encoding/json"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

const (
	// layerMediaType is the media type of the module in a Kubewarden policy.
	layerMediaType = "application/vnd.wasm.content.layer.v1+wasm"
	// maxManifestBytes is the maximum size of a manifest. Policies keep their metadata in
	// annotations of some kilobytes.
	maxManifestBytes = 1 << 20
)

// wasmLayer returns the module that a manifest names: the only layer of its media type.
func wasmLayer(mediaType string, content []byte) (ocispec.Descriptor, error) {
	var manifest struct {
		MediaType string               `json:"mediaType"`
		Manifests json.RawMessage      `json:"manifests"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if mediaType != ocispec.MediaTypeImageManifest {
		return ocispec.Descriptor{}, fail(CauseMediaType,
			"it has media type %.100q: a policy is a manifest of type %s, not an index",
			mediaType, ocispec.MediaTypeImageManifest)
	}
	err := jsonparts.Check(content, jsonparts.MaxManifest)
	if err == nil {
		err = json.Unmarshal(content, &manifest)
	}
	if err != nil {
		return ocispec.Descriptor{}, fail(CauseAnswer, "manifest: %w", err)
	}
	// A document must not have one meaning here and another for its signer.
	if manifest.MediaType != "" && manifest.MediaType != mediaType || manifest.Manifests != nil {
		return ocispec.Descriptor{}, fail(CauseMediaType, "it is served as %s but declares another type", mediaType)
	}
	var found []ocispec.Descriptor
	for _, layer := range manifest.Layers {
		if layer.MediaType == layerMediaType {
			found = append(found, layer)
		}
	}
	if len(found) != 1 {
		return ocispec.Descriptor{}, fail(CauseMediaType, "its manifest has %d layers, and %d of type %s: a policy has one",
			len(manifest.Layers), len(found), layerMediaType)
	}
	layer := found[0]
	if !moduleuri.IsDigest(layer.Digest.String()) {
		return ocispec.Descriptor{}, fail(CauseAnswer,
			"its manifest names the module by digest %.100q: only SHA-256 is supported",
			layer.Digest)
	}
	if layer.Size <= 0 {
		return ocispec.Descriptor{}, fail(CauseAnswer, "its manifest says that the module has %d bytes", layer.Size)
	}
	return layer, nil
}

func digestOf(content []byte) digest.Digest { return digest.SHA256.FromBytes(content) }
