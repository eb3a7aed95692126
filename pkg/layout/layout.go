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

// Package layout reads and writes OCI image layouts: a registry's content as a directory or a tar,
// for places without a network. What is in one is hostile until a digest that leads to it has been
// compared, which every read does.
//
// An entry of its index is named by the annotation org.opencontainers.image.ref.name, either in
// full, registry.example.com/policies/policy:v1.0.0, or by a tag alone. That is what skopeo and
// oras copy to and from as oci:PATH:NAME and --oci-layout PATH:TAG. Signatures have the names that
// they have in a registry.
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
	// maxIndexBytes bounds the index: some twenty thousand entries.
	maxIndexBytes = 8 << 20
	// maxIndexParts bounds what it decodes to: ten parts for each.
	maxIndexParts = 200_000
	// maxMarkerBytes bounds the file that says that it is a layout.
	maxMarkerBytes = 4 << 10
	// AnnotationURI is what an entry of the index is named by that is no artifact of a registry:
	// the URI of a file on a web server.
	AnnotationURI = "io.wasm-admission.uri"
)

// Options say how a layout is read.
type Options struct {
	// AnyOwner reads files that others could have written: for people at a terminal. A server must
	// not.
	AnyOwner bool
}

// Layout is a layout as it was when it was opened. It is safe for concurrent use and holds no files
// open.
type Layout struct {
	path string
	// place reads its files.
	place place
	// identity is that of the file that changes when the layout does.
	identity fs.FileInfo
	index    []ocispec.Descriptor
	names    map[string]ocispec.Descriptor // by reference or tag
	uris     map[string]ocispec.Descriptor // of files on web servers

	once      sync.Once
	referrers map[string][]ocispec.Descriptor // by the digest of the subject
	err       error
}

// place is where the files of a layout are. Names have slashes.
type place interface {
	// prepare finds the files. It comes before open.
	prepare() error
	// open opens a file for reading, and says how large it is. If there is none the error wraps
	// fs.ErrNotExist.
	open(name string) (io.ReadCloser, int64, error)
	// identity describes the file that changes when the layout does.
	identity() (fs.FileInfo, error)
}

// opener opens a regular file.
type opener func(path string) (*os.File, error)

func (o Options) opener() opener {
	if !o.AnyOwner {
		return safefile.Open
	}
	return func(path string) (*os.File, error) {
		// opening a FIFO would wait
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", path)
		}
		return os.Open(path)
	}
}

// Open opens the layout at an absolute path: a directory, or a tar that is not compressed. Unless
// the options say otherwise, it fails if others could have written what is read.
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
	// First, so that a change while it is read is one.
	if l.identity, err = l.place.identity(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("is no OCI image layout: %w", err)
	}
	if err == nil {
		err = l.place.prepare()
	}
	if err != nil {
		return nil, err
	}
	return l, l.readIndex()
}

// Changed says whether there is another layout at the path by now, or none.
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

// add notes what an entry of the index is called. What has two meanings has none.
func add(to map[string]ocispec.Descriptor, annotation string, entry ocispec.Descriptor) error {
	name := entry.Annotations[annotation]
	if before, ok := to[name]; ok && before.Digest != entry.Digest {
		return fmt.Errorf("its %s says that %.300q is %s, and that it is %s",
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
		return fmt.Errorf("is no OCI image layout: it has no %s", name)
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

// Path is where it is.
func (l *Layout) Path() string { return l.path }

// Entries are what its index lists. They must not be changed.
func (l *Layout) Entries() []ocispec.Descriptor { return l.index }

// File returns the manifest of the file that is known by a URI. If there is none the error wraps
// errdef.ErrNotFound.
func (l *Layout) File(uri string) (ocispec.Descriptor, error) {
	entry, ok := l.uris[uri]
	if !ok {
		return ocispec.Descriptor{}, fmt.Errorf("layout %s: %w", l.path, errdef.ErrNotFound)
	}
	return plain(entry), nil
}

// plain is a descriptor without what the index says beside.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType:    d.MediaType,
		ArtifactType: d.ArtifactType,
		Digest:       d.Digest,
		Size:         d.Size,
	}
}

// Read returns what a descriptor describes, at most so many bytes, and compares the digest.
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
