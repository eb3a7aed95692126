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
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// userAgent identifies this client to registries and servers.
const userAgent = "wasm-admission"

// maxReferrerPages is the maximum number of pages in a list of referrers.
const maxReferrerPages = 16

// repository is one repository in a registry or in its mirror.
type repository struct{ *remote.Repository }

// eachRepository calls a function for the repositories that a URI may mean: the mirror's, if there
// is one, and the registry's own. It contacts insecure hosts with TLS first, and without it if they
// do not support it.
func (r *Registries) eachRepository(ctx context.Context, uri string,
	f func(*repository) error) error {
	return r.eachLocation(ctx, uri, func(l location) error {
		ref, err := parseReference(l.uri)
		if err != nil {
			return &Error{Cause: CauseInvalid, Err: err}
		}
		return r.atRepository(ref, f)
	})
}

// atRepository calls a function for one repository.
func (r *Registries) atRepository(ref reference, f func(*repository) error) error {
	at := r.repository(ref)
	err := f(at)
	if err == nil || !speaksNoTLS(err) || !r.hosts.isInsecure("http", at.Reference.Host()) {
		return err
	}
	at = r.repository(ref)
	at.PlainHTTP = true
	return f(at)
}

func speaksNoTLS(err error) bool {
	var record tls.RecordHeaderError
	var network *net.OpError
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) ||
		errors.As(err, &network) && network.Op == "dial"
}

// repository returns a client with its own credentials and tokens. They serve a single module, so
// that none is used after it expired or changed.
func (r *Registries) repository(ref reference) *repository {
	client := &auth.Client{
		Client:     r.client,
		Cache:      auth.NewCache(),
		Credential: r.credential(ref),
		ClientID:   userAgent,
	}
	client.SetUserAgent(userAgent)
	return &repository{
		&remote.Repository{
			Reference:            ref.remote(),
			Client:               client,
			MaxMetadataBytes:     maxManifestBytes,
			ReferrerListMaxPages: maxReferrerPages,
		},
	}
}

func (r *repository) graph() oras.ReadOnlyGraphTarget { return r.Repository }

// resolve returns the digest of the manifest that a tag refers to. It costs a HEAD request. If the
// registry's answer lacks the digest, resolve requests the manifest.
func (r *repository) resolve(ctx context.Context, tag string) (string, error) {
	descriptor, err := r.Resolve(ctx, tag)
	if cause := CauseOf(answerError(err)); err != nil && cause == CauseAnswer {
		descriptor, _, err = r.manifest(ctx, tag)
	}
	if err != nil {
		return "", err
	}
	digest := descriptor.Digest.String()
	if !moduleuri.IsDigest(digest) {
		return "", fail(CauseAnswer, "names a manifest by digest %.100q: only SHA-256 is supported",
			digest)
	}
	return digest, nil
}

// manifest reads a manifest and returns it with its computed digest.
func (r *repository) manifest(ctx context.Context,
	name string) (ocispec.Descriptor, []byte, error) {
	descriptor, body, err := r.FetchReference(ctx, name)
	if err != nil {
		return ocispec.Descriptor{}, nil, answerError(err)
	}
	defer func() { _ = body.Close() }()
	content, err := download(body, "manifest", descriptor.Size, maxManifestBytes, &progress{})
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	return ocispec.Descriptor{
		MediaType: descriptor.MediaType,
		Digest:    digestOf(content),
		Size:      int64(len(content)),
	}, content, nil
}

// blob reads the layer that a manifest names, and verifies it.
func (r *repository) blob(ctx context.Context, layer ocispec.Descriptor, most int64,
	p *progress) ([]byte, error) {
	body, err := r.Blobs().Fetch(ctx, layer)
	if err != nil {
		return nil, answerError(err)
	}
	defer func() { _ = body.Close() }()
	content, err := download(body, "module", layer.Size, most, p)
	if err != nil {
		return nil, err
	}
	if got := engine.Digest(content); got != layer.Digest.String() {
		return nil, &Error{
			Cause: CauseDigest,
			Err:   &DigestError{What: "module", Want: layer.Digest.String(), Got: got},
		}
	}
	return content, checkMagic(content)
}

// answerError assigns a cause to the client's errors about invalid responses.
func answerError(err error) error {
	if err == nil {
		return nil
	}
	e := classify(err)
	switch {
	case e.Cause != CauseOther:
		return e
	case strings.Contains(e.Err.Error(), "digest mismatch"): // the client has no type for it
		return &Error{Cause: CauseDigest, Err: &redactedError{err: e.Err}}
	}
	return &Error{Cause: CauseAnswer, Err: &redactedError{err: e.Err}}
}

// redactedError removes the queries from URLs, because registries redirect to signed URLs.
type redactedError struct{ err error }

var queryPattern = regexp.MustCompile(`\?[^\s"]+`)

func (r *redactedError) Error() string { return queryPattern.ReplaceAllString(r.err.Error(), "?…") }
func (r *redactedError) Unwrap() error { return r.err }
