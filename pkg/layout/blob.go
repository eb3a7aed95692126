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

package layout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
)

// blobName returns the name of the file with a digest.
func blobName(digest string) string {
	return ocispec.ImageBlobsDir + "/sha256/" + strings.TrimPrefix(digest, "sha256:")
}

// Fetch opens the content of a descriptor. The content has the descriptor's size. If its digest
// differs, the last read returns an error that wraps content.ErrMismatchedDigest of oras-go. If the
// layout does not have it, the error wraps errdef.ErrNotFound.
func (l *Layout) Fetch(_ context.Context, target ocispec.Descriptor) (io.ReadCloser, error) {
	digest := target.Digest.String()
	if !moduleuri.IsDigest(digest) {
		return nil, fmt.Errorf(
			"layout %s: digest %.100q: only SHA-256 is supported", l.path, digest)
	}
	file, size, err := l.place.open(blobName(digest))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("layout %s: %s: %w", l.path, digest, errdef.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("layout %s: %w", l.path, err)
	case size != target.Size:
		_ = file.Close() // nothing was read
		return nil, fmt.Errorf("layout %s: its content for %s has %d bytes, not %d: %w", l.path,
			digest, size, target.Size, content.ErrMismatchedDigest)
	}
	return &blob{
		Reader: io.LimitReader(file, size),
		Closer: file,
		sum:    sha256.New(),
		layout: l.path,
		digest: digest,
	}, nil
}

// Exists reports whether the layout has a file for a descriptor. Only reading it compares the
// digest.
func (l *Layout) Exists(ctx context.Context, target ocispec.Descriptor) (bool, error) {
	file, err := l.Fetch(ctx, target)
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, file.Close()
}

// blob reads a file and compares its digest.
type blob struct {
	io.Reader
	io.Closer
	sum            hash.Hash
	layout, digest string
}

// Read implements [io.Reader].
func (b *blob) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := "sha256:" + hex.EncodeToString(b.sum.Sum(nil)); got != b.digest {
			return n, fmt.Errorf("layout %s: its content for %s has digest %s: %w", b.layout,
				b.digest, got, content.ErrMismatchedDigest)
		}
	}
	return n, err
}
