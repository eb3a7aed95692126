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
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxTarEntries bounds the entries of a tar. A policy has about ten files.
const maxTarEntries = 100_000

// directory is a layout in a directory.
type directory struct {
	path   string
	opener opener
}

func (d *directory) prepare() error { return nil }

func (d *directory) open(name string) (io.ReadCloser, int64, error) {
	file, err := d.opener(filepath.Join(d.path, filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

func (d *directory) identity() (fs.FileInfo, error) {
	return os.Stat(filepath.Join(d.path, ocispec.ImageIndexFile))
}

// archive is a layout in a tar. It reads the files in place and unpacks nothing.
type archive struct {
	path     string
	opener   opener
	info     fs.FileInfo
	sections map[string]section
}

// section is the position of a file in the tar.
type section struct{ offset, size int64 }

// layoutFile matches the files of a layout. Files of other names, which tools may add, are ignored.
var layoutFile = regexp.MustCompile(`^(oci-layout|index\.json|blobs/sha256/[0-9a-f]{64})$`)

func (a *archive) prepare() error {
	file, err := a.opener(a.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	if a.info, err = file.Stat(); err != nil {
		return err
	}
	var magic [2]byte
	if _, err := file.ReadAt(magic[:], 0); err == nil && bytes.Equal(magic[:], []byte{0x1f, 0x8b}) {
		return errors.New("is compressed: decompress it (gunzip)")
	}
	return a.find(file, a.info.Size())
}

func (a *archive) find(file *os.File, size int64) error {
	reader := tar.NewReader(file)
	for n := 0; ; n++ {
		header, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("cannot be read as a tar: %w", err)
		case n == maxTarEntries:
			return fmt.Errorf("is a tar of more than %d entries", maxTarEntries)
		}
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := a.add(header, offset, size); err != nil {
			return err
		}
	}
}

// add records the position of an entry. It returns an error for an entry that has no place in a
// layout, because such a tar is malicious.
func (a *archive) add(header *tar.Header, offset, size int64) error {
	switch header.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("is a tar with %.100q in it, which is not a regular file but of type %q",
			header.Name, header.Typeflag)
	}
	for record := range header.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return fmt.Errorf("is a tar with %.100q in it, which is a sparse file", header.Name)
		}
	}
	name := path.Clean(header.Name)
	if !fs.ValidPath(name) {
		return fmt.Errorf("is a tar with %.100q in it, which is outside of the layout", header.Name)
	}
	if !layoutFile.MatchString(name) {
		return nil
	}
	if _, twice := a.sections[name]; twice {
		return fmt.Errorf("is a tar with two files %s", name)
	}
	if header.Size < 0 || header.Size > size-offset {
		return fmt.Errorf(
			"is a tar that ends in %s: copy it again under another name, and rename it over this one",
			name)
	}
	a.sections[name] = section{offset: offset, size: header.Size}
	return nil
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	s, ok := a.sections[name]
	if !ok {
		return nil, 0, fmt.Errorf("%s in %s: %w", name, a.path, fs.ErrNotExist)
	}
	file, err := a.opener(a.path)
	if err != nil {
		return nil, 0, err
	}
	if info, err := file.Stat(); err != nil || !same(info, a.info) {
		return nil, 0, errors.Join(fmt.Errorf("%s has changed while it was read", a.path), err, file.Close())
	}
	return &sectionReader{io.NewSectionReader(file, s.offset, s.size), file}, s.size, nil
}

func (a *archive) identity() (fs.FileInfo, error) { return os.Stat(a.path) }

// sectionReader reads a section of a file and closes the file.
type sectionReader struct {
	io.Reader
	io.Closer
}
