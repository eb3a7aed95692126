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
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Writer writes a layout to a directory. The same content gives the same files, in whatever order
// it is added. It is not safe for concurrent use.
type Writer struct {
	directory string
	entries   []ocispec.Descriptor
}

// NewWriter returns a writer for an empty directory.
func NewWriter(directory string) (*Writer, error) {
	return &Writer{directory: directory}, os.MkdirAll(filepath.Join(directory, ocispec.ImageBlobsDir, "sha256"), 0o755)
}

// Blob adds content and returns its descriptor.
func (w *Writer) Blob(mediaType string, content []byte) (ocispec.Descriptor, error) {
	sum := sha256.Sum256(content)
	d := ocispec.Descriptor{
		MediaType: mediaType,
		Digest:    digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(sum[:])),
		Size:      int64(len(content)),
	}
	path := filepath.Join(w.directory, filepath.FromSlash(blobName(d.Digest.String())))
	if _, err := os.Lstat(path); err == nil {
		return d, nil
	}
	return d, os.WriteFile(path, content, 0o644)
}

// Entry adds a manifest to the index. It returns an error if its name already names another one.
func (w *Writer) Entry(entry ocispec.Descriptor) error {
	same := func(other ocispec.Descriptor) bool {
		a, b := other.Annotations, entry.Annotations
		return a[ocispec.AnnotationRefName] == b[ocispec.AnnotationRefName] &&
			a[AnnotationURI] == b[AnnotationURI]
	}
	for _, other := range w.entries {
		switch {
		case !same(other):
		case other.Digest == entry.Digest:
			return nil
		case len(entry.Annotations) > 0:
			return fmt.Errorf("%s%s is both %s and %s",
				entry.Annotations[ocispec.AnnotationRefName], entry.Annotations[AnnotationURI],
				other.Digest, entry.Digest)
		}
	}
	w.entries = append(w.entries, entry)
	return nil
}

// Close writes the index.
func (w *Writer) Close() error {
	slices.SortFunc(w.entries, func(a, b ocispec.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Annotations[ocispec.AnnotationRefName],
			b.Annotations[ocispec.AnnotationRefName]),
			cmp.Compare(a.Annotations[AnnotationURI], b.Annotations[AnnotationURI]),
			cmp.Compare(a.Digest, b.Digest))
	})
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: w.entries,
	}
	if index.Manifests == nil {
		index.Manifests = []ocispec.Descriptor{} // null is not a list
	}
	return errors.Join(
		w.json(ocispec.ImageIndexFile, index),
		w.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}),
	)
}

func (w *Writer) json(name string, object any) error {
	content, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.directory, name), content, 0o644)
}

// WriteTar writes the layout in a directory as a tar, without times and owners.
func WriteTar(to io.Writer, directory string) error {
	blobs, err := os.ReadDir(filepath.Join(directory, ocispec.ImageBlobsDir, "sha256"))
	if err != nil {
		return err
	}
	names := []string{ocispec.ImageLayoutFile, ocispec.ImageIndexFile}
	for _, entry := range blobs { // sorted by name
		names = append(names,
			strings.Join([]string{ocispec.ImageBlobsDir, "sha256", entry.Name()}, "/"))
	}
	w := tar.NewWriter(to)
	for _, name := range names {
		if err := addFile(w, directory, name); err != nil {
			return err
		}
	}
	return w.Close()
}

func addFile(w *tar.Writer, directory, name string) error {
	file, err := os.Open(filepath.Join(directory, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Mode:     0o644,
		Size:     info.Size(),
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatGNU,
	}); err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return err
}
