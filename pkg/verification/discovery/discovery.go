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

// Package discovery finds candidates for the signatures of an artifact in a registry or in an OCI
// layout. It always searches for both formats. One is the layers of the image with the tag
// sha256-<hex>.sig, which cosign 2 writes. The other is Sigstore bundles that refer to the
// artifact, found through the referrers API and through the index with the tag sha256-<hex>.
package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

// Bounds of the data read for one artifact.
const (
	// MaxCandidates is the maximum number of candidates read in each format. Any further ones are
	// reported, but not read.
	MaxCandidates = 100
	// maxMetadataBytes bounds a manifest or an index. Signature manifests hold certificates in
	// annotations.
	maxMetadataBytes = 4 << 20
	// maxBundleBytes bounds a bundle. Typical bundles have about 10,000 bytes.
	maxBundleBytes = 1 << 20
	// maxTotalBytes bounds all data together.
	maxTotalBytes = 32 << 20
	// maxPayloadBytes bounds a payload in the simple signing format. Typical payloads have a few
	// hundred bytes.
	maxPayloadBytes = 64 << 10
)

// dockerManifest is the media type of Docker manifests, which have the same fields as OCI
// manifests.
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// Find returns candidates for the signatures of the artifact with the given manifest. It reads each
// candidate only when the caller asks for it. A [*verification.SkippedError] stands for something
// that cannot be a candidate. Any other error means that a place could not be read, so that its
// candidates are unknown. A missing place is not an error.
func Find(ctx context.Context, source oras.ReadOnlyGraphTarget,
	manifest ocispec.Descriptor) iter.Seq2[*verification.Candidate, error] {
	return func(yield func(*verification.Candidate, error) bool) {
		if !moduleuri.IsDigest(manifest.Digest.String()) {
			yield(nil,
				fmt.Errorf(
					"an artifact with digest %.100q cannot have signatures: only SHA-256 is supported",
					manifest.Digest))
			return
		}
		f := &finder{source: source, manifest: manifest, yield: yield}
		_ = f.layers(ctx) && f.referrers(ctx)
	}
}

// finder searches for the signatures of one artifact. Its methods return false once the caller
// wants no more.
type finder struct {
	source   oras.ReadOnlyGraphTarget
	manifest ocispec.Descriptor
	yield    func(*verification.Candidate, error) bool
	read     int64
}

// tag returns the tag prefix that cosign and the OCI specification derive from the artifact's
// digest.
func (f *finder) tag() string { return strings.Replace(f.manifest.Digest.String(), ":", "-", 1) }

// skip reports why something is not a candidate.
func (f *finder) skip(place string, err error) bool {
	return f.yield(nil, &verification.SkippedError{Place: place, Err: redact(err)})
}

// fail reports that a place could not be read. A place that does not exist is ignored.
func (f *finder) fail(place string, err error) bool {
	if errors.Is(err, errdef.ErrNotFound) {
		return true
	}
	return f.yield(nil, fmt.Errorf("%s: %w", place, redact(err)))
}

// tagged reads the manifest of a tag.
func (f *finder) tagged(ctx context.Context,
	tag string) (mediaType string, body []byte, err error) {
	var descriptor ocispec.Descriptor
	var reader io.ReadCloser
	if fetcher, ok := f.source.(registry.ReferenceFetcher); ok {
		descriptor, reader, err = fetcher.FetchReference(ctx, tag)
	} else if descriptor, err = f.source.Resolve(ctx, tag); err == nil {
		reader, err = f.source.Fetch(ctx, descriptor)
	}
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = reader.Close() }() // it was only read
	body, err = io.ReadAll(io.LimitReader(reader, maxMetadataBytes+1))
	if err == nil && len(body) > maxMetadataBytes {
		err = fmt.Errorf("is larger than %d bytes", maxMetadataBytes)
	}
	f.read += int64(len(body))
	return descriptor.MediaType, body, err
}

// named reads the content of a descriptor.
func (f *finder) named(ctx context.Context, descriptor ocispec.Descriptor,
	most int64) ([]byte, error) {
	switch {
	case !moduleuri.IsDigest(descriptor.Digest.String()):
		return nil, notACandidate("has digest %.100q: only SHA-256 is supported", descriptor.Digest)
	case descriptor.Size <= 0 || descriptor.Size > most:
		return nil, notACandidate("has %d bytes, at most %d are allowed", descriptor.Size, most)
	}
	if f.read += descriptor.Size; f.read > maxTotalBytes {
		return nil, fmt.Errorf("is not read: everything found together is larger than %d bytes",
			maxTotalBytes)
	}
	body, err := content.FetchAll(ctx, f.source, descriptor)
	if errors.Is(err, errdef.ErrNotFound) || errors.Is(err, content.ErrMismatchedDigest) ||
		errors.Is(err, content.ErrTrailingData) {
		return nil, notACandidate("%w", err)
	}
	return body, err
}

// decode decodes a manifest or an index.
func decode(body []byte, into any) error {
	if err := jsonparts.Check(body, jsonparts.MaxManifest); err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// contentError says what is wrong with the content, as opposed to an error in reading it.
type contentError struct{ err error }

func (c *contentError) Error() string { return c.err.Error() }
func (c *contentError) Unwrap() error { return c.err }

func notACandidate(format string, arguments ...any) error {
	return &contentError{err: fmt.Errorf(format, arguments...)}
}

// refuse reports the error of one candidate.
func (f *finder) refuse(place string, err error) bool {
	if errors.As(err, new(*contentError)) {
		return f.skip(place, err)
	}
	return f.yield(nil, fmt.Errorf("%s: %w", place, redact(err)))
}

// redact removes the queries of URLs, because registries redirect to signed URLs.
func redact(err error) error { return &redactedError{err: err} }

type redactedError struct{ err error }

var queryPattern = regexp.MustCompile(`\?[^\s"]+`)

func (r *redactedError) Error() string { return queryPattern.ReplaceAllString(r.err.Error(), "?…") }
func (r *redactedError) Unwrap() error { return r.err }
