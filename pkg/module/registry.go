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
	"context"
	"errors"
	"io/fs"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"k8s.io/klog/v2"
	"oras.land/oras-go/v2"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// fromRegistry fetches a module by the digest of its manifest. If the reference is a tag, it first
// resolves the tag.
func (r *puller) fromRegistry(ctx context.Context, request Request, p *progress) (*Module, error) {
	ref, err := parseReference(request.URI)
	if err != nil {
		return nil, &Error{Cause: CauseInvalid, Err: err}
	}
	if m := r.named(ctx, ref.String(), request); m != nil {
		return m, nil
	}
	manifest := ref.Digest
	if manifest == "" {
		p.at("resolving tag " + ref.Tag)
		before, _, refused := r.known(ctx, ref.String(), request.Demands)
		if manifest, err = r.resolve(ctx, request.URI, ref, refused == nil); err != nil {
			if refused != nil || !unanswered(err) {
				return nil, withRefusal(err, refused)
			}
			klog.FromContext(ctx).
				Info("Cannot ask a registry what a tag refers to: using what it referred to last",
					"manifest", before.Manifest, "err", err)
			return r.before(ctx, request, ref.at(before.Manifest), err)
		}
	}
	if have := r.unchanged(request, manifest); have != nil {
		return have, checkDigest(request.Digest, have.Digest)
	}
	m, refused := r.stored(ctx, ref.at(manifest).String(), request.Demands)
	if m != nil {
		if err := checkDigest(request.Digest, m.Digest); err != nil {
			return nil, err
		}
		r.remember(ctx, ref.String(), request.Demands, m)
		return m, nil
	}
	if m, err = r.download(ctx, request, ref, manifest, p); err != nil {
		return nil, withRefusal(err, refused)
	}
	return m, nil
}

// withRefusal adds, to the error of a source that does not answer, why the stored module was not
// used instead.
func withRefusal(err, refused error) error {
	if !unanswered(err) || refused == nil || errors.Is(refused, fs.ErrNotExist) {
		return err
	}
	e := classify(err)
	return fail(e.Cause, "%w; the stored module is refused: %w", e.Err, classify(refused).Err)
}

// known returns what is known about a URI, and the identity of the verifier that accepted it. The
// error says why it does not count: nothing is known, or the verifier does not accept it.
func (r *puller) known(ctx context.Context, uri,
	demands string) (e entry, identity string, err error) {
	e, ok := r.store.lookup(ctx, uri, demands)
	if !ok {
		return entry{}, "", fs.ErrNotExist
	}
	identity, err = r.accept(ctx, e, demands)
	return e, identity, err
}

// named returns the module with the requested digest, if it is in the store and, where required,
// was accepted for this URI.
func (r *puller) named(ctx context.Context, uri string, request Request) *Module {
	digest := request.Digest
	if digest == "" || r.store == nil {
		return nil
	}
	if e, ok := r.store.lookup(ctx, uri, request.Demands); ok && e.Digest == digest {
		if m, _ := r.stored(ctx, uri, request.Demands); m != nil {
			return m
		}
	}
	if r.verifier != nil {
		return nil
	}
	if bytes := r.store.get(ctx, digest, r.maxBytes); bytes != nil {
		return &Module{Bytes: bytes, Digest: digest}
	}
	return nil
}

// stored returns the stored module for a URI, if the verifier accepts it. Otherwise the error says
// why.
func (r *puller) stored(ctx context.Context, uri, demands string) (*Module, error) {
	e, identity, err := r.known(ctx, uri, demands)
	if err != nil {
		return nil, err
	}
	bytes := r.store.get(ctx, e.Digest, r.maxBytes)
	if bytes == nil {
		return nil, fs.ErrNotExist
	}
	klog.FromContext(ctx).V(2).Info("Took module from the store", "digest", e.Digest,
		"revision", e.revision())
	return &Module{
		Bytes:      bytes,
		Digest:     e.Digest,
		Revision:   e.revision(),
		VerifiedBy: identity,
		Proof:      r.proof(e),
	}, nil
}

// before returns the stored earlier state of a module, or the reason why the source could not be
// asked.
func (r *puller) before(ctx context.Context, request Request, ref reference,
	err error) (*Module, error) {
	m, refused := r.stored(ctx, ref.String(), request.Demands)
	if m == nil {
		return nil, withRefusal(err, refused)
	}
	if have := request.Have; have != nil && have.Digest == m.Digest && have.Revision == m.Revision {
		m = have
	}
	return m, checkDigest(request.Digest, m.Digest)
}

// remember records in the store what a URI refers to.
func (r *puller) remember(ctx context.Context, uri, demands string, m *Module) {
	e := entry{URI: uri, Demands: demandsID(demands), Digest: m.Digest}
	if moduleuri.IsDigest(m.Revision) {
		e.Manifest = m.Revision
	} else {
		e.ETag = m.Revision
	}
	r.store.note(ctx, e)
}

// resolve asks which manifest a tag refers to.
func (r *puller) resolve(ctx context.Context, uri string, ref reference,
	stored bool) (digest string, err error) {
	err = r.ask(ctx, ref.Registry, stored, func(ctx context.Context) error {
		if stored {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, hastyTimeout)
			defer cancel()
		}
		return r.eachRepository(ctx, uri, func(from *repository) (err error) {
			digest, err = from.resolve(ctx, ref.Tag)
			return err
		})
	})
	return digest, err
}

// download fetches a manifest and the module that it names, and stores what it found.
func (r *puller) download(ctx context.Context, request Request, ref reference, manifest string,
	p *progress) (*Module, error) {
	var m *Module
	var proof kept
	err := r.retry(ctx, r.patient, func(ctx context.Context) error {
		return r.eachRepository(ctx, request.URI, func(from *repository) (err error) {
			m, proof, err = r.pull(ctx, request, ref.Registry+"/"+ref.Repository, from, manifest,
				r.store, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	at := ref.at(manifest).String()
	r.store.put(ctx, m)
	r.store.keepEvidence(ctx, entry{URI: at, Demands: demandsID(request.Demands)}, proof)
	r.remember(ctx, at, request.Demands, m)
	if ref.Tag != "" {
		r.remember(ctx, ref.String(), request.Demands, m)
	}
	klog.FromContext(ctx).Info("Fetched module from a registry", "manifest", manifest,
		"digest", m.Digest, "bytes", len(m.Bytes),
		"elapsed", time.Since(p.begin).Round(time.Millisecond))
	return m, nil
}

// origin is a place that has a manifest and the content that it names.
type origin interface {
	// graph returns the repository for reading what is stored beside the manifest.
	graph() oras.ReadOnlyGraphTarget
	// manifest reads a manifest by tag or digest, and returns it with its computed digest.
	manifest(ctx context.Context, name string) (ocispec.Descriptor, []byte, error)
	// blob reads the layer that a manifest names, and verifies it.
	blob(ctx context.Context, layer ocispec.Descriptor, most int64, p *progress) ([]byte, error)
}

// pull fetches a module from one repository with the given name. It first reads the manifest, which
// must have the expected digest, then asks the verifier, and then reads the module itself.
func (r *puller) pull(ctx context.Context, request Request, repository string, from origin,
	digest string, store *Store, p *progress) (*Module, kept, error) {
	p.at("reading manifest")
	descriptor, content, err := from.manifest(ctx, digest)
	if err != nil {
		return nil, kept{}, err
	}
	if got := descriptor.Digest.String(); got != digest {
		return nil, kept{},
			&Error{Cause: CauseDigest, Err: &DigestError{What: "manifest", Want: digest, Got: got}}
	}
	layer, err := wasmLayer(descriptor.MediaType, content)
	if err != nil {
		return nil, kept{}, err
	}
	if layer.Size > r.maxBytes {
		return nil, kept{}, tooLarge("module", layer.Size, r.maxBytes)
	}
	m := &Module{Digest: layer.Digest.String(), Revision: digest}
	if err := checkDigest(request.Digest, m.Digest); err != nil {
		return nil, kept{}, err
	}
	p.at("verifying")
	proof := kept{Proof: Proof{Manifest: content, MediaType: descriptor.MediaType}}
	m.VerifiedBy, proof.Evidence, err = verify(ctx, r.verifier, Artifact{
		URI: request.URI, Digest: m.Digest, Demands: request.Demands,
		Repository: repository, Manifest: descriptor, Source: from.graph(),
	})
	if err != nil {
		return nil, kept{}, err
	}
	m.Proof = proof.held()
	if m.Bytes = store.get(ctx, m.Digest, r.maxBytes); m.Bytes != nil {
		return m, proof, nil
	}
	m.Bytes, err = from.blob(ctx, layer, r.maxBytes, p)
	return m, proof, err
}
