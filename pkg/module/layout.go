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
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/klog/v2"
	"oras.land/oras-go/v2"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/layout"
)

// layouts opens OCI image layouts, and keeps each open as long as it does not change.
type layouts struct {
	anyOwner bool

	mu     sync.Mutex
	opened map[string]*layout.Layout // by path
}

func (l *layouts) open(path string) (*layout.Layout, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.opened[path]; known != nil && !known.Changed() {
		return known, nil
	}
	delete(l.opened, path)
	opened, err := layout.Open(path, layout.Options{AnyOwner: l.anyOwner})
	if err != nil {
		return nil, layoutError(err)
	}
	if l.opened == nil {
		l.opened = map[string]*layout.Layout{}
	}
	l.opened[path] = opened
	return opened, nil
}

// layoutError assigns a cause to an error of a layout.
func layoutError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*Error)):
		return err
	case errors.Is(err, errdef.ErrNotFound):
		return &Error{Cause: CauseNotFound, Err: err}
	case errors.Is(err, orascontent.ErrMismatchedDigest):
		return &Error{Cause: CauseDigest, Err: err}
	}
	return &Error{Cause: CauseOther, Err: err}
}

// layoutRepository is a repository in a layout.
type layoutRepository struct{ *layout.Repository }

func (l *layoutRepository) graph() oras.ReadOnlyGraphTarget { return l.Repository }

func (l *layoutRepository) manifest(ctx context.Context,
	name string) (ocispec.Descriptor, []byte, error) {
	descriptor, err := l.Resolve(ctx, name)
	if err != nil {
		return ocispec.Descriptor{}, nil, layoutError(err)
	}
	body, err := l.read(ctx, "manifest", descriptor, maxManifestBytes)
	return descriptor, body, err
}

func (l *layoutRepository) blob(ctx context.Context, layer ocispec.Descriptor, most int64,
	_ *progress) ([]byte, error) {
	body, err := l.read(ctx, "module", layer, most)
	if err != nil {
		return nil, err
	}
	return body, checkMagic(body)
}

func (l *layoutRepository) read(ctx context.Context, what string, descriptor ocispec.Descriptor,
	most int64) ([]byte, error) {
	if descriptor.Size > most {
		return nil, tooLarge(what, descriptor.Size, most)
	}
	body, err := l.Read(ctx, descriptor, most)
	return body, layoutError(err)
}

// inLayout fetches a module from the layout that its URI names.
func (r *puller) inLayout(ctx context.Context, request Request, p *progress) (*Module, error) {
	in, err :=
		moduleuri.ParseInLayout(strings.TrimPrefix(request.URI, moduleuri.LayoutScheme+"://"))
	if err != nil {
		return nil, fail(CauseInvalid,
			"%w: write oci-layout:///path:host/repository:tag, oci-layout:///path:tag or oci-layout:///path@sha256:…",
			err)
	}
	return r.fromLayout(ctx, request, in, p)
}

// registryInLayout fetches a registry's module from the configured layout.
func (r *puller) registryInLayout(ctx context.Context, request Request,
	p *progress) (*Module, error) {
	ref, err := parseReference(request.URI)
	if err != nil {
		return nil, &Error{Cause: CauseInvalid, Err: err}
	}
	in := moduleuri.InLayout{
		Path:       r.sources.Layout,
		Repository: ref.Registry + "/" + ref.Repository,
		Tag:        ref.Tag,
		Digest:     ref.Digest,
	}
	return r.fromLayout(ctx, request, in, p)
}

// fromLayout fetches a module by its manifest. It does not use the store, which would not be
// faster.
func (r *puller) fromLayout(ctx context.Context, request Request, in moduleuri.InLayout,
	p *progress) (*Module, error) {
	l, err := r.layouts.open(in.Path)
	if err != nil {
		return nil, err
	}
	from := &layoutRepository{l.Repository(in.Repository)}
	digest := in.Digest
	if digest == "" {
		descriptor, err := from.Resolve(ctx, in.Tag)
		if err != nil {
			return nil, layoutError(err)
		}
		digest = descriptor.Digest.String()
	}
	if have := r.unchanged(request, digest); have != nil {
		return have, checkDigest(request.Digest, have.Digest)
	}
	m, _, err := r.pull(ctx, request, cmp.Or(in.Repository, in.Path), from, digest, nil, p)
	if err != nil {
		return nil, err
	}
	klog.FromContext(ctx).Info("Read module from a layout", "layout", in.Path, "manifest", digest,
		"digest", m.Digest, "bytes", len(m.Bytes))
	return m, nil
}

// unchanged returns the caller's module if a manifest with this digest still names it.
func (r *puller) unchanged(request Request, manifest string) *Module {
	if have := request.Have; have != nil && have.Revision == manifest &&
		acceptedBefore(r.verifier, request.Demands, have.VerifiedBy) {
		return have
	}
	return nil
}

// serverInLayout fetches a web server's module from the configured layout.
func (r *puller) serverInLayout(ctx context.Context, request Request,
	p *progress) (*Module, error) {
	if _, err := r.checkURL(request.URI); err != nil {
		return nil, err
	}
	l, err := r.layouts.open(r.sources.Layout)
	if err != nil {
		return nil, err
	}
	descriptor, err := l.File(request.URI)
	if err != nil {
		return nil, layoutError(err)
	}
	if have := r.unchanged(request, descriptor.Digest.String()); have != nil {
		return have, checkDigest(request.Digest, have.Digest)
	}
	from := &layoutRepository{l.Repository("")}
	body, err := from.read(ctx, "manifest", descriptor, maxManifestBytes)
	if err != nil {
		return nil, err
	}
	wasm, err := wasmLayer(descriptor.MediaType, body)
	if err != nil {
		return nil, err
	}
	if err := checkDigest(request.Digest, wasm.Digest.String()); err != nil {
		return nil, err
	}
	m := &Module{Digest: wasm.Digest.String(), Revision: descriptor.Digest.String()}
	if m.Bytes, err = from.blob(ctx, wasm, r.maxBytes, p); err != nil {
		return nil, err
	}
	p.at("verifying")
	m.VerifiedBy, m.Proof.Evidence, err = verify(ctx, r.verifier, Artifact{
		URI: request.URI, Digest: m.Digest, Demands: request.Demands, Bytes: m.Bytes,
		Beside: from.beside(body, wasm),
	})
	if err != nil {
		return nil, err
	}
	m.Proof = m.Proof.held()
	return m, nil
}

// beside reads the layer of the same manifest whose title is the file's plus the suffix.
func (l *layoutRepository) beside(manifest []byte, file ocispec.Descriptor) func(context.Context,
	string, int64) ([]byte, error) {
	return func(ctx context.Context, suffix string, most int64) ([]byte, error) {
		var parsed ocispec.Manifest
		if err := json.Unmarshal(manifest, &parsed); err != nil {
			return nil, err
		}
		title := file.Annotations[ocispec.AnnotationTitle] + suffix
		for _, layer := range parsed.Layers {
			if layer.Annotations[ocispec.AnnotationTitle] == title {
				return l.read(ctx, title, layer, most)
			}
		}
		return nil, fmt.Errorf("layout %s: %s: %w", l.Path(), title, errdef.ErrNotFound)
	}
}
