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

package policystore

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// Save writes modules of the store as an archive, as kwctl does: a gzipped tar file with their
// places. The same modules always result in the same bytes.
func (s *Store) Save(w io.Writer, uris []string) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	for _, uri := range uris {
		content, err := s.Get(uri)
		if err != nil {
			return err
		}
		place, err := Place(uri)
		if err != nil {
			return err
		}
		if err := archive.WriteHeader(&tar.Header{
			Name: place,
			Mode: 0o644,
			Size: int64(len(content)),
		}); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}

// Load puts the modules of an archive into the store, and replaces existing ones. It refuses an
// archive with other or too much content before it stores anything. It returns the URIs. No module
// may have more than maxBytes.
func (s *Store) Load(path string, maxBytes int64) (uris []string, err error) {
	maxBytes = min(maxBytes, s.maxModuleBytes)
	if err := s.readArchive(path, maxBytes, s.check); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	err = s.readArchive(path, maxBytes, func(uri string, content []byte) error {
		uris = append(uris, uri)
		return s.Put(uri, content)
	})
	if err != nil {
		return uris, fmt.Errorf("%s: %w", path, err)
	}
	return uris, nil
}

// readArchive calls f for each module of an archive. It trusts nothing that the archive says about
// itself.
func (s *Store) readArchive(path string, maxBytes int64,
	f func(uri string, content []byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	zip, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("it is not an archive from save: %w", err)
	}
	bounded := &io.LimitedReader{R: zip, N: s.maxArchiveBytes + 1}
	archive := tar.NewReader(bounded)
	for entries := 0; ; entries++ {
		header, err := archive.Next()
		if bounded.N <= 0 {
			return fmt.Errorf("it has more than %d bytes: save fewer policies at a time",
				s.maxArchiveBytes)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not an archive from save: %w", err)
		}
		if entries >= s.maxEntries {
			return fmt.Errorf("it has more than %d entries", s.maxEntries)
		}
		if header.Typeflag == tar.TypeDir { // the directories of modules are created anyway
			continue
		}
		uri, ok := uriOf(header.Name)
		if header.Typeflag != tar.TypeReg || !ok {
			return fmt.Errorf(
				"%.200q in it is not the file of a policy: only registry/HOST/…, https/HOST/… and http/HOST/… are accepted",
				header.Name)
		}
		content, err := io.ReadAll(io.LimitReader(archive, maxBytes+1))
		switch {
		case bounded.N <= 0:
			return fmt.Errorf("it has more than %d bytes: save fewer policies at a time",
				s.maxArchiveBytes)
		case err != nil:
			return fmt.Errorf("it is damaged: %w", err)
		case int64(len(content)) > maxBytes:
			return fmt.Errorf(
				"%s in it has more than %d bytes: raise --module-size if you trust the module", uri,
				maxBytes)
		}
		if err := f(uri, content); err != nil {
			return err
		}
	}
}
