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

// Package discovery finds what may be signatures of an artifact in a registry, or in what has the shape of one. Both
// formats are looked for, always: layers of the image at the tag sha256-<hex>.sig, as cosign 2 writes them, and Sigstore
// bundles that refer to the artifact, by the referrers API and by the index at the tag sha256-<hex>.
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

// Bounds of what is read about one artifact.
const (
	// MaxCandidates is how many are opened of each format. What is beyond is named, and not looked at.
	MaxCandidates = 100
	// maxMetadataBytes bounds a manifest or an index. Those of signatures hold certificates as annotations.
	maxMetadataBytes = 4 << 20
	// maxBundleBytes bounds a bundle, which has some ten thousand bytes.
	maxBundleBytes = 1 << 20
	// maxTotalBytes bounds everything that is read.
	maxTotalBytes = 32 << 20
	// maxPayloadBytes bounds a payload in the simple signing format, some hundred bytes.
	maxPayloadBytes = 64 << 10
)

// dockerManifest is the media type of manifests that are not OCI's, and have the same fields.
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// Find returns what may be signatures of the artifact with a manifest. Each is read when it is asked for. In place of what
// cannot be one comes a [*verification.SkippedError]. Any other error is a place that could not be read: what is there is
// not known. What is not found is no error.
func Find(ctx context.Context, source oras.ReadOnlyGraphTarget, manifest ocispec.Descriptor) iter.Seq2[*verification.Candidate, error] {
	return func(yield func(*verification.Candidate, error) bool) {
		if !moduleuri.IsDigest(manifest.Digest.String()) {
			yield(nil, fmt.Errorf("an artifact with digest %.100q cannot have signatures: only SHA-256 is supported", manifest.Digest))
			return
		}
		f := &finder{source: source, manifest: manifest, yield: yield}
		_ = f.layers(ctx) && f.referrers(ctx)
	}
}

// finder looks for the signatures of one artifact. Its functions return false once nobody wants more.
type finder struct {
	source   oras.ReadOnlyGraphTarget
	manifest ocispec.Descriptor
	yield    func(*verification.Candidate, error) bool
	read     int64
}

// tag is what cosign and the specification of OCI call things that belong to the artifact.
func (f *finder) tag() string { return strings.Replace(f.manifest.Digest.String(), ":", "-", 1) }

// skip says why something is no candidate.
func (f *finder) skip(place string, err error) bool {
	return f.yield(nil, &verification.SkippedError{Place: place, Err: redact(err)})
}

// fail says that a place could not be read, unless there is nothing.
func (f *finder) fail(place string, err error) bool {
	if errors.Is(err, errdef.ErrNotFound) {
		return true
	}
	return f.yield(nil, fmt.Errorf("%s: %w", place, redact(err)))
}

// tagged reads what a tag stands for.
func (f *finder) tagged(ctx context.Context, tag string) (mediaType string, body []byte, err error) {
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

// named reads what has a digest.
func (f *finder) named(ctx context.Context, descriptor ocispec.Descriptor, most int64) ([]byte, error) {
	switch {
	case !moduleuri.IsDigest(descriptor.Digest.String()):
		return nil, notACandidate("has digest %.100q: only SHA-256 is supported", descriptor.Digest)
	case descriptor.Size <= 0 || descriptor.Size > most:
		return nil, notACandidate("has %d bytes, at most %d are allowed", descriptor.Size, most)
	}
	if f.read += descriptor.Size; f.read > maxTotalBytes {
		return nil, fmt.Errorf("is not read: what was found is larger than %d bytes together", maxTotalBytes)
	}
	body, err := content.FetchAll(ctx, f.source, descriptor)
	if errors.Is(err, errdef.ErrNotFound) || errors.Is(err, content.ErrMismatchedDigest) || errors.Is(err, content.ErrTrailingData) {
		return nil, notACandidate("%w", err)
	}
	return body, err
}

// decode reads a manifest or an index.
func decode(body []byte, into any) error {
	if err := jsonparts.Check(body, jsonparts.MaxManifest); err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// contentError is what is wrong with what was found, rather than with finding it.
type contentError struct{ err error }

func (c *contentError) Error() string { return c.err.Error() }
func (c *contentError) Unwrap() error { return c.err }

func notACandidate(format string, arguments ...any) error {
	return &contentError{err: fmt.Errorf(format, arguments...)}
}

// refuse says what became of one candidate.
func (f *finder) refuse(place string, err error) bool {
	if errors.As(err, new(*contentError)) {
		return f.skip(place, err)
	}
	return f.yield(nil, fmt.Errorf("%s: %w", place, redact(err)))
}

// redact leaves out the queries of URLs: registries redirect to URLs that are signed.
func redact(err error) error { return &redactedError{err: err} }

type redactedError struct{ err error }

var queryPattern = regexp.MustCompile(`\?[^\s"]+`)

func (r *redactedError) Error() string { return queryPattern.ReplaceAllString(r.err.Error(), "?…") }
func (r *redactedError) Unwrap() error { return r.err }
