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
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

const (
	// entryFormat changes when the meaning of an entry does. Entries of another format
	// count as not there.
	entryFormat = "wasm-admission/modules/2"
	// maxEntryBytes bounds an entry: a URI, which is bounded, is escaped in it.
	maxEntryBytes = 64 << 10
)

// entry is what is known of a URI. On disk it is JSON in exactly the form that encode
// gives it.
type entry struct {
	Format string `json:"format"`
	// URI is what the entry is about, so that none passes for another.
	URI string `json:"uri"`
	// Demands identifies those of the request, as [demandsID] does: what a URI was
	// accepted as without them it is not with them.
	Demands string `json:"demands,omitempty"`
	// Digest is that of the module that the URI stands for.
	Digest string `json:"digest"`
	// Manifest is the digest of the manifest, of a module from a registry.
	Manifest string `json:"manifest,omitempty"`
	// ETag is the entity tag, of a module from a server that gives one.
	ETag string `json:"etag,omitempty"`
}

// demandsID names demands, which may be long, by their SHA-256; none by "".
func demandsID(demands string) string {
	if demands == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(demands))
	return hex.EncodeToString(sum[:])
}

// revision is what the source calls the module.
func (e entry) revision() string { return cmp.Or(e.Manifest, e.ETag) }

func (e entry) encode() ([]byte, error) {
	b, err := json.MarshalIndent(e, "", "  ")
	return append(b, '\n'), err
}

// parseEntry accepts only what encodes to the same bytes again.
func parseEntry(b []byte) (entry, error) {
	var e entry
	if err := json.Unmarshal(b, &e); err != nil {
		return entry{}, err
	}
	canonical, err := e.encode()
	switch {
	case err != nil:
		return entry{}, err
	case !bytes.Equal(canonical, b):
		return entry{}, errors.New("it is not in canonical form")
	case e.Format != entryFormat:
		return entry{}, fmt.Errorf("it has format %.100q, not %q", e.Format, entryFormat)
	case !moduleuri.IsDigest(e.Digest) || e.Manifest != "" && !moduleuri.IsDigest(e.Manifest):
		return entry{}, errors.New("a digest in it is none")
	}
	return e, nil
}

func readEntry(path string) (entry, error) {
	b, err := read(path, maxEntryBytes)
	if err != nil {
		return entry{}, err
	}
	e, err := parseEntry(b)
	if err != nil {
		return entry{}, fmt.Errorf("%s: %w", path, err)
	}
	if e.file() != filepath.Base(path) {
		return entry{}, fmt.Errorf("%s is about another URI", path)
	}
	return e, nil
}

// file returns the name of the file for a URI, and demands if there are any.
func (e entry) file() string {
	name := e.URI
	if e.Demands != "" {
		name += "\n" + e.Demands
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:]) + ".json"
}

// lookup returns what is known of a URI. An entry that is damaged is removed.
func (s *Store) lookup(ctx context.Context, uri, demands string) (entry, bool) {
	if s == nil {
		return entry{}, false
	}
	path := filepath.Join(s.index, entry{URI: uri, Demands: demandsID(demands)}.file())
	e, err := readEntry(path)
	if err == nil {
		return e, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		klog.FromContext(ctx).Error(errors.Join(err, os.Remove(path)), "What is known of a module cannot be read and is removed")
	}
	return entry{}, false
}

// note keeps what is known of a URI, unless that is known.
func (s *Store) note(ctx context.Context, e entry) {
	if s == nil {
		return
	}
	e.Format = entryFormat
	if known, err := readEntry(filepath.Join(s.index, e.file())); err == nil && known == e {
		return
	}
	b, err := e.encode()
	if err == nil && len(b) > maxEntryBytes {
		err = fmt.Errorf("an entry of %d bytes is larger than %d", len(b), maxEntryBytes)
	}
	if err == nil {
		err = safefile.WritePrivate(filepath.Join(s.index, e.file()), b)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "What a URI stands for cannot be kept: it has to be asked again after a restart")
	}
}
