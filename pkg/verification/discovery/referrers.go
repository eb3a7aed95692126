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
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"

	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// bundleMediaType is the common prefix of the media types of all bundle versions.
const bundleMediaType = "application/vnd.dev.sigstore.bundle"

// errEnough ends a list of referrers early.
var errEnough = errors.New("enough")

// referrers finds the candidates among the referrers of the artifact. It uses both the registry's
// API and the index at the fallback tag, because it depends on the registry and the signer which of
// them lists a bundle. It ignores the types in these lists, because registries and tools disagree
// about them.
func (f *finder) referrers(ctx context.Context) bool {
	l := &referrerList{finder: f, seen: map[string]bool{f.manifest.Digest.String(): true}}
	return l.fromAPI(ctx) && l.fromTag(ctx) && l.open(ctx)
}

// referrerList collects the referrers of an artifact, without duplicates.
type referrerList struct {
	*finder
	descriptors []ocispec.Descriptor
	seen        map[string]bool
	more        bool
}

// add adds descriptors. It returns false if there are too many.
func (l *referrerList) add(descriptors []ocispec.Descriptor) bool {
	for _, d := range descriptors {
		digest := d.Digest.String()
		if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != dockerManifest ||
			l.seen[digest] {
			continue
		}
		if len(l.descriptors) == MaxCandidates {
			l.more = true
			return false
		}
		l.seen[digest] = true
		l.descriptors = append(l.descriptors, d)
	}
	return true
}

func (l *referrerList) fromAPI(ctx context.Context) bool {
	var err error
	if lister, ok := l.source.(registry.ReferrerLister); ok {
		err = lister.Referrers(ctx, l.manifest, "", func(page []ocispec.Descriptor) error {
			if !l.add(page) {
				return errEnough
			}
			return nil
		})
	} else {
		var all []ocispec.Descriptor
		if all, err = l.source.Predecessors(ctx, l.manifest); err == nil {
			l.add(all)
		}
	}
	if err != nil && !errors.Is(err, errEnough) {
		return l.fail("referrers", err)
	}
	return true
}

func (l *referrerList) fromTag(ctx context.Context) bool {
	tag := l.tag()
	mediaType, body, err := l.tagged(ctx, tag)
	if err != nil {
		return l.fail("tag "+tag, err)
	}
	if mediaType != ocispec.MediaTypeImageIndex {
		return true // some registries resolve the tag to the artifact itself
	}
	var index ocispec.Index
	if err := decode(body, &index); err != nil {
		return l.skip("tag "+tag, fmt.Errorf("is not an index: %w", err))
	}
	l.add(index.Manifests)
	return true
}

// open reads the bundles among the referrers.
func (l *referrerList) open(ctx context.Context) bool {
	for _, d := range l.descriptors {
		place := "referrer " + d.Digest.String()
		bundle, err := l.bundle(ctx, d)
		switch {
		case err != nil:
			if !l.refuse(place, err) {
				return false
			}
		case bundle != nil:
			if !l.yield(&verification.Candidate{Place: place, Bundle: bundle}, nil) {
				return false
			}
		}
	}
	return !l.more ||
		l.skip("referrers", fmt.Errorf("are more than %d, and the rest is not read", MaxCandidates))
}

// bundle returns the referrer's bundle, or nil if the referrer is not a bundle.
func (l *referrerList) bundle(ctx context.Context, descriptor ocispec.Descriptor) ([]byte, error) {
	_, manifest, err := l.manifestOf(ctx, descriptor)
	switch {
	case err != nil:
		return nil, err
	case !hasBundle(manifest):
		return nil, nil
	case len(manifest.Layers) != 1:
		return nil, notACandidate("has %d layers: a bundle has one", len(manifest.Layers))
	}
	return l.named(ctx, manifest.Layers[0], maxBundleBytes)
}

// manifestOf reads the manifest of a referrer.
func (l *referrerList) manifestOf(ctx context.Context,
	descriptor ocispec.Descriptor) (body []byte, manifest ocispec.Manifest, err error) {
	if body, err = l.named(ctx, descriptor, maxMetadataBytes); err != nil {
		return nil, manifest, err
	}
	if err := decode(body, &manifest); err != nil {
		return nil, manifest, notACandidate("is not a manifest: %w", err)
	}
	return body, manifest, nil
}

func hasBundle(manifest ocispec.Manifest) bool {
	return slices.ContainsFunc(manifest.Layers, func(layer ocispec.Descriptor) bool {
		return strings.HasPrefix(layer.MediaType, bundleMediaType)
	})
}
