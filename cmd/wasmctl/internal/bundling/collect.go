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
	"path"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
	"github.com/wasm-admission/wasm-admission/pkg/layout"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
)

const (
	// maxSignatureBytes bounds each blob of a signature.
	maxSignatureBytes = 4 << 20
	// maxBesideBytes bounds the content beside one module: other blobs of its manifest, and its
	// signatures. Anybody who may push to the registry controls its size.
	maxBesideBytes = 64 << 20
)

// Collected describes the content of a bundle.
type Collected struct {
	Modules []Module
	// Local lists the modules in files, which are not in the bundle.
	Local []string
}

// Collect writes a layout with everything wanted into an empty directory. Adjust may change the
// access to registries and servers. Collect refuses modules that the configuration would refuse.
func Collect(ctx context.Context, wanted *Wanted, directory string,
	adjust func(*module.Options)) (*Collected, error) {
	requests, local, err := wanted.requests(ctx)
	if err != nil {
		return nil, err
	}
	if len(requests) == 0 {
		return nil, errors.New(
			"there is no module from a registry or a web server: nothing to bundle")
	}
	writer, err := layout.NewWriter(directory)
	if err != nil {
		return nil, err
	}
	c := &collector{writer: writer}
	fetcher, err := assembly.NewFetcher(ctx, wanted.Config, wanted.newChecker,
		func(options *module.Options) {
			adjust(options)
			c.verifier, c.most = options.Verifier, options.MaxBytes
			options.Verifier = c
		})
	if err != nil {
		return nil, err
	}
	collected, problems := &Collected{Local: local}, []error(nil)
	for _, request := range requests {
		m, err := fetcher.Get(ctx, request)
		if err == nil {
			err = c.keep(request.URI, m)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		collected.Modules = append(collected.Modules,
			Module{URI: request.URI, Digest: c.digest, Signatures: c.signatures})
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if wanted.Root != nil {
		if err := c.keepRoot(wanted.Root.JSON()); err != nil {
			return nil, err
		}
	}
	return collected, writer.Close()
}

// collector collects the content beside modules while they are verified, from the places where they
// are fetched. It handles one request at a time.
type collector struct {
	verifier module.Verifier // nil accepts everything
	most     int64
	writer   *layout.Writer

	// The remaining fields belong to the last module.
	left       int64 // bytes that its other content may still have
	entries    []ocispec.Descriptor
	bundle     []byte // for a module from a web server; nil if there is none
	digest     string
	signatures int
}

// Identity implements [module.Verifier].
func (c *collector) Identity(string) string { return "" }

// Verify implements [module.Verifier].
func (c *collector) Verify(ctx context.Context, a module.Artifact) ([]byte, error) {
	if c.verifier != nil {
		if _, err := c.verifier.Verify(ctx, a); err != nil {
			return nil, err
		}
	}
	c.entries, c.bundle, c.signatures, c.left = nil, nil, 0, maxBesideBytes
	if a.Source != nil {
		c.digest = a.Manifest.Digest.String()
		return nil, c.collect(ctx, a)
	}
	c.digest = a.Digest
	bundle, err := a.Beside(ctx, modules.BundleSuffix, maxSignatureBytes)
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return nil, nil
	case err == nil:
		c.bundle, c.signatures = bundle, 1
	}
	return nil, err
}

// collect collects the manifest of a module, its blobs other than the module, and its signatures.
func (c *collector) collect(ctx context.Context, a module.Artifact) error {
	content, err := orascontent.FetchAll(ctx, a.Source, a.Manifest)
	if err != nil {
		return err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(content, &manifest); err != nil {
		return err
	}
	for _, d := range append([]ocispec.Descriptor{manifest.Config}, manifest.Layers...) {
		if d.Digest.String() != a.Digest { // the module is added separately
			if err := c.copyBlob(ctx, a, d, c.most); err != nil {
				return err
			}
		}
	}
	entry, err := c.writer.Blob(a.Manifest.MediaType, content)
	if err != nil {
		return err
	}
	name, err := entryName(a)
	if err != nil {
		return err
	}
	entry.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	c.entries = append(c.entries, entry)
	signatures, err := discovery.Manifests(ctx, a.Source, a.Manifest)
	if err != nil {
		return fmt.Errorf("its signatures: %w", err)
	}
	for _, s := range signatures {
		if err := c.sign(ctx, a, s); err != nil {
			return err
		}
	}
	c.signatures = len(signatures)
	return nil
}

// entryName returns the name of an artifact in the index.
func entryName(a module.Artifact) (string, error) {
	ref, err := moduleuri.ParseReference(strings.TrimPrefix(a.URI, "registry://"))
	switch {
	case err != nil:
		return "", err
	case ref.Digest != "":
		return a.Repository + "@" + ref.Digest, nil
	}
	return a.Repository + ":" + ref.Tag, nil
}

// sign collects a manifest with signatures and its blobs.
func (c *collector) sign(ctx context.Context, a module.Artifact, s discovery.Manifest) error {
	for _, d := range s.Blobs {
		if err := c.copyBlob(ctx, a, d, maxSignatureBytes); err != nil {
			return fmt.Errorf("its signatures: %w", err)
		}
	}
	if _, err := c.writer.Blob(s.Descriptor.MediaType, s.Content); err != nil {
		return err
	}
	entry := s.Descriptor
	if s.Tag != "" {
		entry.Annotations = map[string]string{ocispec.AnnotationRefName: a.Repository + ":" + s.Tag}
	}
	c.entries = append(c.entries, entry)
	return nil
}

func (c *collector) copyBlob(ctx context.Context, a module.Artifact, d ocispec.Descriptor,
	most int64) error {
	switch {
	case !moduleuri.IsDigest(d.Digest.String()):
		return fmt.Errorf("a manifest names something by digest %.100q: only SHA-256 is supported",
			d.Digest)
	case d.Size < 0 || d.Size > most:
		return fmt.Errorf("%s has %d bytes, at most %d are allowed", d.Digest, d.Size, most)
	case d.Size > c.left:
		return fmt.Errorf("the content beside the module has more than %d bytes", maxBesideBytes)
	}
	c.left -= d.Size
	content, err := orascontent.FetchAll(ctx, a.Source, d)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Digest, err)
	}
	_, err = c.writer.Blob(d.MediaType, content)
	return err
}

// keep adds a module to the layout, and lists the content collected beside it.
func (c *collector) keep(uri string, m *module.Module) error {
	if len(c.entries) == 0 {
		entry, err := c.keepFile(uri, m)
		if err != nil {
			return err
		}
		c.entries = append(c.entries, entry)
	} else if _, err := c.writer.Blob(wasmMediaType, m.Bytes); err != nil {
		return err
	}
	for _, entry := range c.entries {
		if err := c.writer.Entry(entry); err != nil {
			return err
		}
	}
	return nil
}

// keepFile writes a file from a web server and the bundle beside it as an artifact.
func (c *collector) keepFile(uri string, m *module.Module) (ocispec.Descriptor, error) {
	title := path.Base(uri)
	layers := []ocispec.Descriptor{{}}
	var err error
	if layers[0], err = c.titled(wasmMediaType, title, m.Bytes); err != nil {
		return ocispec.Descriptor{}, err
	}
	if c.bundle != nil {
		bundle, err := c.titled("application/vnd.dev.sigstore.bundle.v0.3+json",
			title+modules.BundleSuffix, c.bundle)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		layers = append(layers, bundle)
	}
	return c.artifact(fileType, map[string]string{layout.AnnotationURI: uri}, layers...)
}

func (c *collector) titled(mediaType, title string, content []byte) (ocispec.Descriptor, error) {
	d, err := c.writer.Blob(mediaType, content)
	d.Annotations = map[string]string{ocispec.AnnotationTitle: title}
	return d, err
}

// artifact writes the manifest of an artifact that only this package uses.
func (c *collector) artifact(artifactType string, annotations map[string]string,
	layers ...ocispec.Descriptor) (ocispec.Descriptor, error) {
	config, err := c.writer.Blob(ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Data)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	content, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType, Config: config, Layers: layers,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	entry, err := c.writer.Blob(ocispec.MediaTypeImageManifest, content)
	entry.ArtifactType, entry.Annotations = artifactType, annotations
	return entry, err
}

// keepRoot adds a trust root to the layout.
func (c *collector) keepRoot(root []byte) error {
	layer, err := c.titled(rootMediaType, RootFile, root)
	if err != nil {
		return err
	}
	entry, err := c.artifact(rootType, map[string]string{ocispec.AnnotationRefName: rootName},
		layer)
	if err != nil {
		return err
	}
	return c.writer.Entry(entry)
}
