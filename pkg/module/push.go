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
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// configMediaType is the media type of a Kubewarden policy's configuration, which is empty.
const configMediaType = "application/vnd.wasm.config.v1+json"

// ManifestDigest returns the digest of the manifest that a registry:// URI refers to. It reads and
// hashes the manifest, and does not trust the digest that the registry reports. Errors are
// [*Error].
func (f *Fetcher) ManifestDigest(ctx context.Context, uri string) (string, error) {
	ref, err := f.registryReference(uri)
	if err != nil {
		return "", withURI(uri, err)
	}
	r := f.puller
	var got string
	err = r.within(ctx, func(ctx context.Context) error {
		return r.retry(ctx, r.patient, func(ctx context.Context) error {
			return r.eachRepository(ctx, uri, func(from *repository) error {
				descriptor, _, err := from.manifest(ctx, ref.name())
				got = descriptor.Digest.String()
				return err
			})
		})
	})
	if err == nil && ref.Digest != "" && got != ref.Digest {
		err = &Error{
			Cause: CauseDigest,
			Err:   &DigestError{What: "manifest", Want: ref.Digest, Got: got},
		}
	}
	if err != nil {
		return "", withURI(uri, err)
	}
	return got, nil
}

// Push pushes a module, as kwctl does, to the tag that a registry:// URI names (default "latest").
// The annotations go into the manifest. Push returns a reference to exactly these bytes, without a
// scheme: host/repository@sha256:… It does not push to mirrors. The same module with the same
// annotations has the same manifest. Errors are [*Error].
func (f *Fetcher) Push(ctx context.Context, uri string, wasm []byte,
	annotations map[string]string) (string, error) {
	ref, err := f.registryReference(uri)
	if err == nil && ref.Digest != "" {
		err = fail(CauseInvalid, "a push produces a digest and cannot name one: name a tag")
	}
	var a *artifact
	if err == nil {
		a, err = f.artifact(wasm, annotations)
	}
	if err == nil {
		err = f.puller.push(ctx, ref, a)
	}
	if err != nil {
		err = withURI(uri, err)
		if e := (*Error)(nil); errors.As(err, &e) {
			e.pushing = true // withURI made it
		}
		return "", err
	}
	return ref.Registry + "/" + ref.Repository + "@" + a.manifest.descriptor.Digest.String(), nil
}

// registryReference parses a registry:// URI.
func (f *Fetcher) registryReference(uri string) (reference, error) {
	if f.puller == nil {
		return reference{}, fail(CauseInvalid, "registries are not supported here")
	}
	if moduleuri.IsTooLong(uri) {
		return reference{}, fail(CauseInvalid, "the URI is longer than %d bytes after its scheme",
			moduleuri.MaxBytes)
	}
	ref, err := parseReference(uri)
	if err != nil {
		return reference{}, &Error{Cause: CauseInvalid, Err: err}
	}
	return ref, nil
}

// content is bytes to push, with their descriptor.
type content struct {
	descriptor ocispec.Descriptor
	bytes      []byte
}

func newContent(mediaType string, b []byte) content {
	return content{
		ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))},
		b,
	}
}

// artifact is a module in the form that a registry stores.
type artifact struct{ config, layer, manifest content }

// artifact builds one. It refuses a module that could not be fetched again.
func (f *Fetcher) artifact(wasm []byte, annotations map[string]string) (*artifact, error) {
	if size := int64(len(wasm)); size > f.MaxBytes {
		return nil, tooLarge("module", size, f.MaxBytes)
	}
	if checkMagic(wasm) != nil {
		return nil, fail(CauseInvalid, "it is not a WebAssembly module: it begins with %q",
			wasm[:min(len(wasm), len(wasmMagic))])
	}
	a := &artifact{
		config: newContent(configMediaType, []byte("{}")),
		layer:  newContent(layerMediaType, wasm),
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // like kwctl, so that both give a module the same digest
	err := encoder.Encode(ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		Config:      a.config.descriptor,
		Layers:      []ocispec.Descriptor{a.layer.descriptor},
		Annotations: annotations,
	})
	if err != nil {
		return nil, err
	}
	manifest := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(manifest) > maxManifestBytes {
		return nil, fail(CauseInvalid,
			"its manifest would have %d bytes, at most %d are read: shorten the annotations in its metadata",
			len(manifest), maxManifestBytes)
	}
	a.manifest = newContent(ocispec.MediaTypeImageManifest, manifest)
	return a, nil
}

// push pushes an artifact to a repository, first what its manifest names and then the manifest.
func (r *puller) push(ctx context.Context, ref reference, a *artifact) error {
	return r.within(ctx, func(ctx context.Context) error {
		return r.retry(ctx, r.patient, func(ctx context.Context) error {
			return r.atRepository(ref, func(to *repository) error {
				if err := to.pushBlob(ctx, a.config); err != nil {
					return err
				}
				if err := to.pushBlob(observed(ctx, r.observe, a.layer), a.layer); err != nil {
					return err
				}
				return answerError(to.PushReference(ctx, a.manifest.descriptor,
					bytes.NewReader(a.manifest.bytes), ref.Tag))
			})
		})
	})
}

// pushBlob pushes a blob unless the repository has it.
func (r *repository) pushBlob(ctx context.Context, blob content) error {
	exists, err := r.Blobs().Exists(ctx, blob.descriptor)
	if err != nil || exists {
		return answerError(err)
	}
	return answerError(r.Blobs().Push(ctx, blob.descriptor, bytes.NewReader(blob.bytes)))
}

// uploadKey is the context key of an upload.
type uploadKey struct{}

// upload reports an upload's progress.
type upload struct {
	observe func(bytes, total int64)
	size    int64
}

// observed reports the upload of c to an observer, which may be nil. It uses the context because
// the registry's client makes the requests and wants a body that it can send again.
func observed(ctx context.Context, observe func(bytes, total int64), c content) context.Context {
	if observe == nil {
		return ctx
	}
	return context.WithValue(ctx, uploadKey{}, &upload{observe, c.descriptor.Size})
}

// observeUpload returns the request with a body that reports how much of it was sent, if the
// request is an upload.
func observeUpload(request *http.Request) *http.Request {
	u, _ := request.Context().Value(uploadKey{}).(*upload)
	if u == nil || request.Body == nil || request.ContentLength != u.size {
		return request
	}
	observed := *request
	observed.Body = &uploading{ReadCloser: request.Body, upload: u}
	return &observed
}

// uploading is a body that reports how much of it was read.
type uploading struct {
	io.ReadCloser
	*upload
	sent int64
}

// Read implements [io.Reader].
func (u *uploading) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	u.sent += int64(n)
	u.observe(u.sent, u.size)
	return n, err
}
