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
	"time"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// fromRegistry fetches a module by the digest of its manifest, or finds out first
// which manifest its tag stands for.
func (r *puller) fromRegistry(ctx context.Context, request Request, p *progress) (*Module, error) {
	ref, err := parseReference(request.URI)
	if err != nil {
		return nil, &Error{Cause: CauseInvalid, Err: err}
	}
	if m := r.named(ctx, ref.String(), request.Digest); m != nil {
		return m, nil
	}
	manifest := ref.Digest
	if manifest == "" {
		p.at("resolving tag " + ref.Tag)
		before, known := r.store.lookup(ctx, ref.String())
		known = known && acceptedBefore(r.verifier, before.Verifier)
		if manifest, err = r.resolve(ctx, request.URI, ref, known); err != nil {
			if !known || !unanswered(err) {
				return nil, err
			}
			klog.FromContext(ctx).Info("Registry cannot be asked what a tag stands for: taking what it stood for last",
				"manifest", before.Manifest, "err", err)
			return r.before(ctx, request, ref.at(before.Manifest), err)
		}
	}
	if have := request.Have; have != nil && have.Revision == manifest && acceptedBefore(r.verifier, have.verifiedBy) {
		return have, checkDigest(request.Digest, have.Digest)
	}
	if m := r.stored(ctx, ref.at(manifest).String()); m != nil {
		if err := checkDigest(request.Digest, m.Digest); err != nil {
			return nil, err
		}
		r.remember(ctx, ref.String(), m)
		return m, nil
	}
	return r.download(ctx, request, ref, manifest, p)
}

// named returns the module that has the digest that is asked for, if it is in the
// store and, where that matters, was accepted for this URI.
func (r *puller) named(ctx context.Context, uri, digest string) *Module {
	if digest == "" || r.store == nil {
		return nil
	}
	e, known := r.store.lookup(ctx, uri)
	if known = known && e.Digest == digest; known && acceptedBefore(r.verifier, e.Verifier) {
		return r.stored(ctx, uri)
	}
	if r.verifier != nil {
		return nil
	}
	if bytes := r.store.get(ctx, digest, r.maxBytes); bytes != nil {
		return &Module{Bytes: bytes, Digest: digest}
	}
	return nil
}

// stored returns the module that the store has for a URI, if the verifier has
// accepted it.
func (r *puller) stored(ctx context.Context, uri string) *Module {
	e, ok := r.store.lookup(ctx, uri)
	if !ok || !acceptedBefore(r.verifier, e.Verifier) {
		return nil
	}
	bytes := r.store.get(ctx, e.Digest, r.maxBytes)
	if bytes == nil {
		return nil
	}
	klog.FromContext(ctx).V(2).Info("Took module from the store", "digest", e.Digest, "revision", e.revision())
	return &Module{Bytes: bytes, Digest: e.Digest, Revision: e.revision(), verifiedBy: e.Verifier}
}

// before returns what the store has of an earlier state, or why the source could not
// be asked.
func (r *puller) before(ctx context.Context, request Request, ref reference, err error) (*Module, error) {
	m := r.stored(ctx, ref.String())
	if m == nil {
		return nil, err
	}
	if have := request.Have; have != nil && have.Digest == m.Digest && have.Revision == m.Revision {
		m = have
	}
	return m, checkDigest(request.Digest, m.Digest)
}

// remember notes in the store what a URI stands for.
func (r *puller) remember(ctx context.Context, uri string, m *Module) {
	e := entry{URI: uri, Digest: m.Digest, Verifier: m.verifiedBy}
	if moduleuri.IsDigest(m.Revision) {
		e.Manifest = m.Revision
	} else {
		e.ETag = m.Revision
	}
	r.store.note(ctx, e)
}

// resolve asks which manifest a tag stands for.
func (r *puller) resolve(ctx context.Context, uri string, ref reference, stored bool) (digest string, err error) {
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

// download fetches a manifest and the module that it names, and keeps both findings.
func (r *puller) download(ctx context.Context, request Request, ref reference, manifest string, p *progress) (*Module, error) {
	var m *Module
	err := r.retry(ctx, r.patient, func(ctx context.Context) error {
		return r.eachRepository(ctx, request.URI, func(from *repository) (err error) {
			m, err = r.pull(ctx, request, ref, from, manifest, p)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	r.store.put(ctx, m)
	r.remember(ctx, ref.at(manifest).String(), m)
	if ref.Tag != "" {
		r.remember(ctx, ref.String(), m)
	}
	klog.FromContext(ctx).Info("Fetched module from a registry", "manifest", manifest, "digest", m.Digest, "bytes", len(m.Bytes),
		"elapsed", time.Since(p.begin).Round(time.Millisecond))
	return m, nil
}

// pull fetches a module from one repository: first the manifest, which must have the
// digest it is known by; then the verifier is asked; then the module itself.
func (r *puller) pull(ctx context.Context, request Request, ref reference, from *repository, digest string, p *progress) (*Module, error) {
	p.at("reading manifest")
	descriptor, content, err := from.manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	if got := descriptor.Digest.String(); got != digest {
		return nil, &Error{Cause: CauseDigest, Err: &DigestError{What: "manifest", Want: digest, Got: got}}
	}
	layer, err := wasmLayer(descriptor.MediaType, content)
	if err != nil {
		return nil, err
	}
	if layer.Size > r.maxBytes {
		return nil, tooLarge("module", layer.Size, r.maxBytes)
	}
	m := &Module{Digest: layer.Digest.String(), Revision: digest}
	if err := checkDigest(request.Digest, m.Digest); err != nil {
		return nil, err
	}
	p.at("verifying")
	m.verifiedBy, err = verify(ctx, r.verifier, Artifact{
		URI: request.URI, Digest: m.Digest, Repository: ref.Registry + "/" + ref.Repository, Manifest: descriptor, Source: from.Repository,
	})
	if err != nil {
		return nil, err
	}
	if m.Bytes = r.store.get(ctx, m.Digest, r.maxBytes); m.Bytes != nil {
		return m, nil
	}
	m.Bytes, err = from.blob(ctx, layer, r.maxBytes, p)
	return m, err
}
