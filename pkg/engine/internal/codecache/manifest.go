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

package codecache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

const (
	// manifestFormat changes when the meaning of a manifest changes. A manifest in another format
	// counts as damaged.
	manifestFormat = "wasm-admission/codecache/1"
	// maxManifestBytes is checked before a manifest is read.
	maxManifestBytes = 16 << 10
	// maxFiles bounds the files and directories of an entry. wazero makes two for each set of CPU
	// features for which it compiled the entry.
	maxFiles = 32
)

// manifest lists what the directory of an entry must contain. On disk, it is JSON exactly as encode
// writes it.
type manifest struct {
	Format string         `json:"format"`
	Key    string         `json:"key"` // so that no entry passes for another
	Files  []manifestFile `json:"files"`
}

// manifestFile describes one file. Files are in the order of [list].
type manifestFile struct {
	Path   string `json:"path"`   // below the entry's directory, slash-separated
	Size   int64  `json:"size"`   // in bytes
	SHA256 string `json:"sha256"` // lowercase hexadecimal digits
}

// onDisk is a regular file below the directory of an entry.
type onDisk struct {
	path     string // as in manifestFile
	size     int64
	modified int64 // nanoseconds since 1970
}

// newManifest flushes the files of an entry to disk and describes them.
func newManifest(key Key, directory string, files []onDisk) (*manifest, error) {
	m := &manifest{Format: manifestFormat, Key: key.String()}
	directories := map[string]bool{}
	for _, f := range files {
		digest, err := digest(directory, f, (*os.File).Sync)
		if err != nil {
			return nil, err
		}
		m.Files = append(m.Files, manifestFile{Path: f.path, Size: f.size, SHA256: digest})
		for d := path.Dir(f.path); ; d = path.Dir(d) {
			directories[d] = true
			if d == "." {
				break
			}
		}
	}
	for d := range directories {
		err := safefile.SyncDirectory(filepath.Join(directory, filepath.FromSlash(d)))
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// match returns an error for the first difference between the manifest and an entry's files.
func (m *manifest) match(directory string, files []onDisk) error {
	if len(m.Files) != len(files) {
		return fmt.Errorf("there are %d files, not %d", len(files), len(m.Files))
	}
	for i, f := range files {
		switch want := m.Files[i]; {
		case f.path != want.Path:
			return fmt.Errorf("there is a file %q, not %q", f.path, want.Path)
		case f.size != want.Size:
			return fmt.Errorf("file %q has %d bytes, not %d", f.path, f.size, want.Size)
		}
	}
	for i, f := range files {
		got, err := digest(directory, f, nil)
		if err != nil {
			return err
		}
		if want := m.Files[i].SHA256; got != want {
			return fmt.Errorf("file %q has SHA-256 %s, not %s", f.path, got, want)
		}
	}
	return nil
}

func (m *manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// parseManifest decodes the manifest of a key. encoding/json tolerates much: other letter case,
// duplicate and unknown fields, white space. A manifest is valid only if it encodes to the same
// bytes again, so that no bit of it can change unnoticed.
func parseManifest(b []byte, key Key) (*manifest, error) {
	if len(b) > maxManifestBytes {
		return nil, fmt.Errorf("manifest is larger than %d bytes", maxManifestBytes)
	}
	m := &manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("manifest has format %q, not %q", m.Format, manifestFormat)
	}
	if m.Key != key.String() {
		return nil, fmt.Errorf("manifest belongs to entry %q", m.Key)
	}
	canonical, err := m.encode()
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if !bytes.Equal(canonical, b) {
		return nil, fmt.Errorf("manifest is not in canonical form")
	}
	return m, nil
}

func readManifest(path string, key Key) (*manifest, error) {
	f, err := safefile.OpenPrivate(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxManifestBytes+1))
	if err != nil {
		return nil, err
	}
	return parseManifest(b, key)
}

// write writes the manifest to a path atomically.
func (m *manifest) write(path, temporary string) (err error) {
	b, err := m.encode()
	if err != nil {
		return err
	}
	if len(b) > maxManifestBytes {
		return fmt.Errorf("manifest would be larger than %d bytes", maxManifestBytes)
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temporary)
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// digest returns the SHA-256 digest of a file in hexadecimal, if the file has its listed size. It
// passes the file to then, if not nil.
func digest(directory string, file onDisk, then func(*os.File) error) (string, error) {
	f, err := safefile.OpenPrivate(filepath.Join(directory, filepath.FromSlash(file.path)))
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, file.size+1))
	if err != nil {
		return "", err
	}
	if n != file.size {
		return "", fmt.Errorf("file %q changed while it was read", file.path)
	}
	if then != nil {
		if err := then(f); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func total(files []onDisk) (sum int64) {
	for _, f := range files {
		sum += f.size
	}
	return sum
}
