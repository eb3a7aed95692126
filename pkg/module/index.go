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
	// entryFormat changes when the meaning of an entry changes. Entries in another format count as
	// missing.
	entryFormat = "wasm-admission/modules/2"
	// maxEntryBytes bounds an entry, which contains a URI, bounded and escaped.
	maxEntryBytes = 64 << 10
)

// entry is what is known about a URI. On disk, it is JSON exactly as encode writes it.
type entry struct {
	Format string `json:"format"`
	// URI is the URI that the entry is about, so that no entry passes for another.
	URI string `json:"uri"`
	// Demands identifies the request's demands, as returned by [demandsID]. Acceptance without
	// these demands does not count with them.
	Demands string `json:"demands,omitempty"`
	// Digest is the digest of the module that the URI refers to.
	Digest string `json:"digest"`
	// Manifest is the digest of the manifest, for a module from a registry.
	Manifest string `json:"manifest,omitempty"`
	// ETag is the entity tag, for a module from a server that sends one.
	ETag string `json:"etag,omitempty"`
}

// demandsID returns the SHA-256 of demands, which may be long, or an empty string for no demands.
func demandsID(demands string) string {
	if demands == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(demands))
	return hex.EncodeToString(sum[:])
}

// revision returns the source's name for the module.
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
		return entry{}, errors.New("it contains an invalid digest")
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

// file returns the file name for a URI and its demands, if any.
func (e entry) file() string {
	name := e.URI
	if e.Demands != "" {
		name += "\n" + e.Demands
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:]) + ".json"
}

// lookup returns what is known about a URI. It removes a damaged entry.
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
		klog.FromContext(ctx).Error(errors.Join(err, os.Remove(path)),
			"Removing an index entry that cannot be read")
	}
	return entry{}, false
}

// note stores what is known about a URI, unless that is stored already.
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
		klog.FromContext(ctx).Error(err,
			"Cannot store what a URI refers to: its source must be asked again after a restart")
	}
}
