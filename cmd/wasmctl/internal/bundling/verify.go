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

package bundling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/layout"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
)

// maxMetadataBytes bounds a manifest.
const maxMetadataBytes = 4 << 20

// Checked describes the verified content of a bundle.
type Checked struct {
	// Manifests and Blobs count the content that was read and matches its digests.
	Manifests, Blobs int
	// Modules lists the wanted modules that the bundle contains.
	Modules []Module
	// Local lists the modules in files, which do not belong in the bundle.
	Local []string
	// Problems lists the problems found.
	Problems []error
}

func (c *Checked) fail(format string, arguments ...any) {
	c.Problems = append(c.Problems, fmt.Errorf(format, arguments...))
}

// Verify reads all content of a bundle and checks the digests. It then fetches everything wanted
// from the bundle, with the signatures that the configuration demands. It uses no network. A Wanted
// without a configuration or URIs wants nothing.
func Verify(ctx context.Context, path string, wanted *Wanted) (*Checked, error) {
	l, err := open(path)
	if err != nil {
		return nil, err
	}
	c := &Checked{}
	r := &reader{layout: l, checked: c, seen: map[string]bool{}}
	for _, entry := range l.Entries() {
		r.manifest(ctx, entry)
	}
	if wanted.Config == nil {
		return c, nil
	}
	return c, c.fetch(ctx, path, l, wanted)
}

// fetch fetches the wanted modules like a server without a network.
func (c *Checked) fetch(ctx context.Context, path string, l *layout.Layout, wanted *Wanted) error {
	requests, local, err := wanted.requests(ctx)
	if err != nil {
		return err
	}
	c.Local = local
	fetcher, err := assembly.NewFetcher(ctx, wanted.Config, wanted.newChecker,
		func(options *module.Options) {
			options.Sources = module.Sources{Layout: path, Insecure: options.Sources.Insecure}
			options.AnyLayout = true
		})
	if err != nil {
		return err
	}
	for _, request := range requests {
		m, err := fetcher.Get(ctx, request)
		if err != nil {
			c.Problems = append(c.Problems, err)
			continue
		}
		c.Modules = append(c.Modules, Module{
			URI:        request.URI,
			Digest:     m.Revision,
			Signatures: signaturesOf(ctx, l, request.URI, m),
		})
	}
	return nil
}

// signaturesOf counts the signatures of a module.
func signaturesOf(ctx context.Context, l *layout.Layout, uri string, m *module.Module) int {
	if entry, err := l.File(uri); err == nil {
		var manifest ocispec.Manifest
		if readManifest(ctx, l, entry, &manifest) == nil {
			return len(manifest.Layers) - 1
		}
		return 0
	}
	ref, err := moduleuri.ParseReference(strings.TrimPrefix(uri, "registry://"))
	if err != nil {
		return 0
	}
	repository := l.Repository(ref.Registry + "/" + ref.Repository)
	manifest, err := repository.Resolve(ctx, m.Revision)
	if err != nil {
		return 0
	}
	signatures, _ := discovery.Manifests(ctx, repository, manifest) // damage was reported before
	return len(signatures)
}

// reader reads all content of a layout.
type reader struct {
	layout  *layout.Layout
	checked *Checked
	seen    map[string]bool
}

// manifest reads a manifest and its blobs.
func (r *reader) manifest(ctx context.Context, entry ocispec.Descriptor) {
	if r.seen[entry.Digest.String()] {
		return
	}
	r.seen[entry.Digest.String()] = true
	var manifest struct {
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := readManifest(ctx, r.layout, entry, &manifest); err != nil {
		r.checked.fail("%s: %w", nameOf(entry), err)
		return
	}
	r.checked.Manifests++
	blobs := manifest.Layers
	if manifest.Config != nil {
		blobs = append(blobs, *manifest.Config)
	}
	for _, blob := range append(blobs, manifest.Manifests...) {
		r.blob(ctx, entry, blob)
	}
}

func (r *reader) blob(ctx context.Context, of, blob ocispec.Descriptor) {
	digest := blob.Digest.String()
	if r.seen[digest] {
		return
	}
	r.seen[digest] = true
	file, err := r.layout.Fetch(ctx, blob)
	if err == nil {
		_, err = io.Copy(io.Discard, file)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		r.checked.fail("%s: %w", nameOf(of), err)
		return
	}
	r.checked.Blobs++
}

// readManifest decodes a manifest. It bounds the memory of the decoded manifest.
func readManifest(ctx context.Context, l *layout.Layout, entry ocispec.Descriptor, into any) error {
	content, err := l.Read(ctx, entry, maxMetadataBytes)
	if err != nil {
		return err
	}
	if err = jsonparts.Check(content, jsonparts.MaxManifest); err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		return fmt.Errorf("is not a manifest: %w", err)
	}
	return nil
}

// nameOf returns the name of an index entry for messages.
func nameOf(entry ocispec.Descriptor) string {
	for _, annotation := range []string{ocispec.AnnotationRefName, layout.AnnotationURI} {
		if name := entry.Annotations[annotation]; name != "" {
			return name
		}
	}
	return entry.Digest.String()
}

// ReadRoot returns the trust root in a bundle, or nil if there is none.
func ReadRoot(ctx context.Context, path string) (*sigstore.Root, error) {
	l, err := open(path)
	if err != nil {
		return nil, err
	}
	entry, err := l.Repository("").Resolve(ctx, rootName)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := readRoot(ctx, l, entry)
	if err != nil {
		return nil, fmt.Errorf("the trust root in the bundle: %w", err)
	}
	root, err := sigstore.ParseRoot(content, time.Now())
	if err != nil {
		return nil, fmt.Errorf("the trust root in the bundle: %w", err)
	}
	return root, nil
}

func readRoot(ctx context.Context, l *layout.Layout, entry ocispec.Descriptor) ([]byte, error) {
	var manifest ocispec.Manifest
	if err := readManifest(ctx, l, entry, &manifest); err != nil {
		return nil, err
	}
	if manifest.ArtifactType != rootType || len(manifest.Layers) != 1 ||
		!moduleuri.IsDigest(manifest.Layers[0].Digest.String()) {
		return nil, fmt.Errorf("its manifest has artifactType %.100q and %d layers, not %s and one",
			manifest.ArtifactType, len(manifest.Layers), rootType)
	}
	return l.Read(ctx, manifest.Layers[0], sigstore.MaxRootBytes)
}
