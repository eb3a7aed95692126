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

package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	kjson "sigs.k8s.io/json"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
)

const (
	// maxDocumentBytes bounds a manifest and a configuration.
	maxDocumentBytes = 4 << 20
	// maxReferrerPages bounds the pages of a list of referrers.
	maxReferrerPages = 16
)

// Docker's media types of manifests.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// unansweredError says that the registry gave no answer about the image.
type unansweredError struct{ error }

// Unwrap returns the underlying error.
func (u *unansweredError) Unwrap() error { return u.error }

// look is one question to registries.
type look struct {
	registries *module.Registries
	operation  string
	uri        string
	// judge is set for the two operations that verify.
	judge judge
}

// run asks the registries. The error is an [*unansweredError] if no registry returned the image's
// manifest. After that, any error is a failure.
func (l *look) run(ctx context.Context) (answer []byte, err error) {
	ctx = withBudget(ctx, maxRequests, maxBytes)
	answered := false
	err = l.registries.Each(ctx, l.uri, func(from *remote.Repository, name string) error {
		from.MaxMetadataBytes, from.ReferrerListMaxPages = maxDocumentBytes, maxReferrerPages
		m, err := readManifest(ctx, from, name)
		if err != nil {
			return err
		}
		answered = true
		answer, err = l.answer(ctx, from, m)
		return err
	})
	if err != nil && !answered && module.CauseOf(err) == module.CauseUnreachable &&
		!errors.As(err, new(*ForbiddenError)) {
		return nil, &unansweredError{err}
	}
	return answer, err
}

func (l *look) answer(ctx context.Context, from *remote.Repository, m *manifest) ([]byte, error) {
	switch l.operation {
	case oci.ManifestDigest:
		return json.Marshal(struct {
			Digest string `json:"digest"`
		}{m.digest})
	case oci.Manifest:
		return m.content, nil
	case oci.ManifestAndConfig:
		return withConfig(ctx, from, m)
	}
	descriptor := ocispec.Descriptor{
		MediaType: m.mediaType,
		Digest:    digest.Digest(m.digest),
		Size:      int64(len(m.content)),
	}
	if err := l.judge(ctx, verification.Artifact{Digest: m.digest},
		discovery.Find(ctx, from, descriptor)); err != nil {
		err = fmt.Errorf("%s: %w", m.digest, err)
		if unmet := (*verification.UnmetError)(nil); errors.As(err, &unmet) && unmet.Count == 0 &&
			unmet.Unread == nil {
			err = &unsignedError{err}
		}
		return nil, &module.Error{Cause: module.CauseUnverified, Err: err}
	}
	return json.Marshal(struct {
		IsTrusted bool   `json:"is_trusted"`
		Digest    string `json:"digest"`
	}{true, m.digest})
}

// unsignedError makes the lookup continue at the registry itself if a mirror has no signatures.
type unsignedError struct{ error }

// Unwrap returns the underlying error.
func (u *unsignedError) Unwrap() error { return u.error }

// Is makes errors.Is match errdef.ErrNotFound.
func (u *unsignedError) Is(target error) bool { return target == errdef.ErrNotFound }

// manifest is a manifest of an image, or of an index of several images.
type manifest struct {
	mediaType string
	digest    string // computed from the content
	content   []byte
	document  struct {
		MediaType string                `json:"mediaType"`
		Config    *ocispec.Descriptor   `json:"config"`
		Manifests *[]ocispec.Descriptor `json:"manifests"`
	}
}

func (m *manifest) isIndex() bool {
	return m.mediaType == ocispec.MediaTypeImageIndex || m.mediaType == dockerList
}

// readManifest reads the manifest of a tag or a digest.
func readManifest(ctx context.Context, from *remote.Repository, name string) (*manifest, error) {
	descriptor, body, err := from.FetchReference(ctx, name)
	if err != nil {
		return nil, err
	}
	m := &manifest{mediaType: descriptor.MediaType}
	if m.content, err = readBounded(body, "the manifest"); err != nil {
		return nil, err
	}
	m.digest = digest.FromBytes(m.content).String()
	if want, err := digest.Parse(name); err == nil && want.String() != m.digest {
		return nil, fmt.Errorf("the registry sent a manifest with digest %s for %s", m.digest, want)
	}
	if err = jsonparts.Check(m.content, jsonparts.MaxManifest); err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(m.content, &m.document)
	}
	if err != nil {
		return nil, fmt.Errorf("the manifest cannot be read: %w", err)
	}
	return m, m.check()
}

// check refuses a manifest that registry and readers could interpret differently.
func (m *manifest) check() error {
	d := &m.document
	switch m.mediaType {
	case ocispec.MediaTypeImageManifest, dockerManifest, ocispec.MediaTypeImageIndex, dockerList:
	default:
		return fmt.Errorf("it has media type %.100q, which is neither of an image nor of an index",
			m.mediaType)
	}
	if d.MediaType != "" && d.MediaType != m.mediaType || m.isIndex() != (d.Manifests != nil) ||
		m.isIndex() == (d.Config != nil) {
		return fmt.Errorf("it is served as %s, and is something else", m.mediaType)
	}
	return nil
}

// withConfig reads the configuration of an image. For an index, it reads that of the image for this
// platform.
func withConfig(ctx context.Context, from *remote.Repository, m *manifest) ([]byte, error) {
	if m.isIndex() {
		child, err := m.platform()
		if err != nil {
			return nil, err
		}
		if m, err = readManifest(ctx, from, child); err != nil {
			return nil, err
		}
		if m.isIndex() {
			return nil, errors.New("the index names another index for this platform")
		}
	}
	descriptor := *m.document.Config
	if err := descriptor.Digest.Validate(); err != nil ||
		descriptor.Digest.Algorithm() != digest.SHA256 {
		return nil, fmt.Errorf("the configuration has digest %.100q: only SHA-256 is supported",
			descriptor.Digest)
	}
	body, err := from.Blobs().Fetch(ctx, descriptor)
	if err != nil {
		return nil, err
	}
	config, err := readBounded(body, "the configuration")
	switch {
	case err != nil:
		return nil, err
	case digest.FromBytes(config) != descriptor.Digest:
		return nil, fmt.Errorf("the configuration does not have digest %s", descriptor.Digest)
	case !json.Valid(config):
		return nil, errors.New("the configuration is not JSON")
	}
	return json.Marshal(struct {
		Manifest json.RawMessage `json:"manifest"`
		Digest   string          `json:"digest"`
		Config   json.RawMessage `json:"config"`
	}{m.content, m.digest, config})
}

// platform returns the digest of the image for this platform.
func (m *manifest) platform() (string, error) {
	for _, d := range *m.document.Manifests {
		if d.Platform == nil || d.Platform.OS != runtime.GOOS ||
			d.Platform.Architecture != runtime.GOARCH {
			continue
		}
		if err := d.Digest.Validate(); err != nil || d.Digest.Algorithm() != digest.SHA256 {
			return "", fmt.Errorf(
				"the index names an image by digest %.100q: only SHA-256 is supported",
				d.Digest)
		}
		return d.Digest.String(), nil
	}
	return "", fmt.Errorf("the index has no image for %s/%s", runtime.GOOS, runtime.GOARCH)
}

// readBounded reads a document from a registry, up to the bound.
func readBounded(body io.ReadCloser, what string) ([]byte, error) {
	defer func() { _ = body.Close() }()
	content, err := io.ReadAll(io.LimitReader(body, maxDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	if len(content) > maxDocumentBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", what, maxDocumentBytes)
	}
	return content, nil
}
