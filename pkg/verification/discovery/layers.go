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
	"encoding/base64"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Media types and annotations that cosign 2 writes into signature images.
const (
	payloadMediaType      = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation   = "dev.cosignproject.cosign/signature"
	certificateAnnotation = "dev.sigstore.cosign/certificate"
	chainAnnotation       = "dev.sigstore.cosign/chain"
	bundleAnnotation      = "dev.sigstore.cosign/bundle"
)

// layers finds the candidates in the signature image.
func (f *finder) layers(ctx context.Context) bool {
	tag := f.tag() + ".sig"
	mediaType, body, err := f.tagged(ctx, tag)
	if err != nil {
		return f.fail("tag "+tag, err)
	}
	if mediaType != ocispec.MediaTypeImageManifest && mediaType != dockerManifest {
		return f.skip("tag "+tag,
			fmt.Errorf("has media type %.100q, not %s", mediaType, ocispec.MediaTypeImageManifest))
	}
	var image ocispec.Manifest
	if err := decode(body, &image); err != nil {
		return f.skip("tag "+tag, fmt.Errorf("is not a manifest: %w", err))
	}
	// Several signatures of one payload are layers with the same digest, so their position
	// identifies them.
	payloads := map[string][]byte{}
	for n, layer := range image.Layers {
		place := fmt.Sprintf("layer %d of %s", n, tag)
		if n == MaxCandidates {
			return f.skip("tag "+tag,
				fmt.Errorf("has %d layers, of which only %d are read", len(image.Layers),
					MaxCandidates))
		}
		candidate, err := f.layer(ctx, layer, payloads)
		if err != nil {
			if !f.refuse(place, err) {
				return false
			}
			continue
		}
		candidate.Place = place
		if !f.yield(candidate, nil) {
			return false
		}
	}
	return true
}

// layer reads one candidate.
func (f *finder) layer(ctx context.Context, layer ocispec.Descriptor,
	payloads map[string][]byte) (*verification.Candidate, error) {
	if layer.MediaType != payloadMediaType {
		return nil, notACandidate("has media type %.100q, not %s", layer.MediaType, payloadMediaType)
	}
	signature, err := base64.StdEncoding.DecodeString(layer.Annotations[signatureAnnotation])
	if err != nil || len(signature) == 0 {
		return nil, notACandidate("has no signature in base64 as annotation %s", signatureAnnotation)
	}
	digest := layer.Digest.String()
	payload, known := payloads[digest]
	if !known {
		if payload, err = f.named(ctx, layer, maxPayloadBytes); err != nil {
			return nil, err
		}
		payloads[digest] = payload
	}
	return &verification.Candidate{
		Payload:     payload,
		Signature:   signature,
		Certificate: []byte(layer.Annotations[certificateAnnotation]),
		Chain:       []byte(layer.Annotations[chainAnnotation]),
		RekorBundle: []byte(layer.Annotations[bundleAnnotation]),
	}, nil
}
