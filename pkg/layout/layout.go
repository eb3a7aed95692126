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

// Package layout reads and writes OCI image layouts: the content of a registry as a directory or a
// tar, for places without a network. It treats the content as hostile until its digest has been
// compared with the digest that leads to it. Every read does that.
//
// The annotation org.opencontainers.image.ref.name names an entry of the index, either in full, as
// in registry.example.com/policies/policy:v1.0.0, or by a tag alone. That is the format of skopeo's
// oci:PATH:NAME and oras' --oci-layout PATH:TAG. Signatures have the same names as in a registry.
package layout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

const (
	// maxIndexBytes bounds the size of the index. It allows some twenty thousand entries.
	maxIndexBytes = 8 << 20
	// maxIndexParts bounds the values that the index decodes to. It allows ten for each entry.
	maxIndexParts = 200_000
	// maxMarkerBytes bounds the size of oci-layout, the file that marks a layout.
	maxMarkerBytes = 4 << 10
	// AnnotationURI names an entry of the index that is not an artifact of a registry, by the URI
	// of a file on a web server.
	AnnotationURI = "io.wasm-admission.uri"
)

// Options say how to read a layout.
type Options struct {
	// AnyOwner also reads files that other users could have written. It is for people at a
	// terminal, and never for servers.
	AnyOwner bool
}

// Layout is a layout as it was when it was opened. It keeps no files open, and is safe for
// concurrent use.
type Layout struct {
	path string
	// place reads the files of the layout.
	place place
	// identity identifies the version of the file that changes whenever the layout does.
	identity fs.FileInfo
	index    []ocispec.Descriptor
	names    map[string]ocispec.Descriptor // by reference or tag
	uris     map[string]ocispec.Descriptor // of files on web servers

	once      sync.Once
	referrers map[string][]ocispec.Descriptor // by the digest of the subject
	err       error
}

// place is a directory or a tar with the files of a layout. File names have slashes.
type place interface {
	// prepare finds the files. Call it before open.
	prepare() error
	// open opens a file for reading and returns its size. If there is no such file, the error wraps
	// fs.ErrNotExist.
	open(name string) (io.ReadCloser, int64, error)
	// identity describes the file that changes whenever the layout does.
	identity() (fs.FileInfo, error)
}

// opener opens a regular file.
type opener func(path string) (*os.File, error)

func (o Options) opener() opener {
	if !o.AnyOwner {
		return safefile.Open
	}
	return func(path string) (*os.File, error) {
		// Opening a FIFO would block.
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", path)
		}
		return os.Open(path)
	}
}

// Open opens the layout at an absolute path, which is a directory or an uncompressed tar. Unless
// the options allow any owner, it returns an error if other users could have written the files.
func Open(path string, options Options) (*Layout, error) {
	l, err := open(path, options.opener())
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", path, err)
	}
	return l, nil
}

func open(path string, opener opener) (*Layout, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("is not an absolute path")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l := &Layout{
		path:  path,
		names: map[string]ocispec.Descriptor{},
		uris:  map[string]ocispec.Descriptor{},
	}
	l.place = &archive{path: path, opener: opener, sections: map[string]section{}}
	if info.IsDir() {
		l.place = &directory{path: path, opener: opener}
	}
	// The identity comes first, so that a change during reading counts as a change.
	if l.identity, err = l.place.identity(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("is not an OCI image layout: %w", err)
	}
	if err == nil {
		err = l.place.prepare()
	}
	if err != nil {
		return nil, err
	}
	return l, l.readIndex()
}

// Changed reports whether the layout at the path has been replaced or removed.
func (l *Layout) Changed() bool {
	now, err := l.place.identity()
	return err != nil || !same(now, l.identity)
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func (l *Layout) readIndex() error {
	var marker ocispec.ImageLayout
	if err := l.readJSON(ocispec.ImageLayoutFile, maxMarkerBytes, &marker); err != nil {
		return err
	}
	if marker.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("has version %.20q, not %s", marker.Version, ocispec.ImageLayoutVersion)
	}
	var index ocispec.Index
	if err := l.readJSON(ocispec.ImageIndexFile, maxIndexBytes, &index); err != nil {
		return err
	}
	l.index = index.Manifests
	for n, entry := range l.index {
		if !moduleuri.IsDigest(entry.Digest.String()) || entry.Size <= 0 {
			return fmt.Errorf(
				"entry %d of its %s has digest %.100q and %d bytes: only SHA-256 is supported", n,
				ocispec.ImageIndexFile, entry.Digest, entry.Size)
		}
		if err := errors.Join(add(l.names, ocispec.AnnotationRefName, entry),
			add(l.uris, AnnotationURI, entry)); err != nil {
			return err
		}
	}
	return nil
}

// add records the name of an entry of the index. A name for two different entries is an error.
func add(to map[string]ocispec.Descriptor, annotation string, entry ocispec.Descriptor) error {
	name := entry.Annotations[annotation]
	if before, ok := to[name]; ok && before.Digest != entry.Digest {
		return fmt.Errorf("its %s says that %.300q is both %s and %s",
			ocispec.ImageIndexFile, name, before.Digest, entry.Digest)
	}
	if name != "" {
		to[name] = entry
	}
	return nil
}

func (l *Layout) readJSON(name string, most int64, into any) error {
	file, size, err := l.place.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("is not an OCI image layout: it has no %s", name)
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	if size > most {
		return fmt.Errorf("its %s has %d bytes, at most %d are allowed", name, size, most)
	}
	content, err := io.ReadAll(io.LimitReader(file, most))
	if err == nil {
		err = jsonparts.Check(content, maxIndexParts)
	}
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		return fmt.Errorf("its %s cannot be read: %w", name, err)
	}
	return nil
}

// Path returns the path of the layout.
func (l *Layout) Path() string { return l.path }

// Entries returns the entries of the index. The caller must not change them.
func (l *Layout) Entries() []ocispec.Descriptor { return l.index }

// File returns the manifest of the file with a URI. If there is none, the error wraps
// errdef.ErrNotFound.
func (l *Layout) File(uri string) (ocispec.Descriptor, error) {
	entry, ok := l.uris[uri]
	if !ok {
		return ocispec.Descriptor{}, fmt.Errorf("layout %s: %w", l.path, errdef.ErrNotFound)
	}
	return plain(entry), nil
}

// plain returns a descriptor without the fields that only the index has.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType:    d.MediaType,
		ArtifactType: d.ArtifactType,
		Digest:       d.Digest,
		Size:         d.Size,
	}
}

// Read returns the content of a descriptor, which may have at most the given size, and compares its
// digest.
func (l *Layout) Read(ctx context.Context, target ocispec.Descriptor, most int64) ([]byte, error) {
	if target.Size > most {
		return nil, fmt.Errorf("layout %s: %s has %d bytes, at most %d are allowed", l.path,
			target.Digest, target.Size, most)
	}
	blob, err := l.Fetch(ctx, target)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(blob)
	return content, cmp.Or(err, blob.Close())
}
