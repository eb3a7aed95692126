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

package reload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
)

// maxLastGoodBytes bounds the size of the record that is read. It allows for a configuration and
// its policy directory, encoded as JSON.
const maxLastGoodBytes = 64 << 20

// lastGood keeps the last set that was served in its own directory, with everything that serving it
// takes: a record of the policies and, by digest, the modules. All files are private to the user of
// this process, and hashed:
//
//	policies.json   the SHA-256 of the rest of the file, a newline, the record
//	modules/HEX     a module, by its SHA-256
type lastGood struct {
	directory string
	saving    turn // held while saving
	// written maps the digest of a module to its file, if the file had the right content when it
	// was last read or written.
	written map[string]fs.FileInfo
}

// record is what is kept of a set besides its modules.
type record struct {
	// Hash identifies the set, like [resolution.hash].
	Hash         string
	Modules      []keptModule
	Policies     []wasmadmission.Policy
	PolicyGroups []wasmadmission.PolicyGroup
}

// keptModule is the module of an address.
type keptModule struct {
	Address address
	Digest  string
	// Proof is the evidence that verified the module. It is empty if the module was not verified.
	Proof module.Proof `json:",omitzero"`
}

func newLastGood(directory string) *lastGood {
	return &lastGood{directory: directory, saving: make(turn, 1), written: map[string]fs.FileInfo{}}
}

func (g *lastGood) recordPath() string       { return filepath.Join(g.directory, "policies.json") }
func (g *lastGood) modulesDirectory() string { return filepath.Join(g.directory, "modules") }
func (g *lastGood) modulePath(digest string) string {
	return filepath.Join(g.modulesDirectory(), strings.TrimPrefix(digest, "sha256:"))
}

// save replaces the kept set. It writes the modules first, so that a record never names a missing
// one.
func (g *lastGood) save(ctx context.Context, r *record, modules policyset.Fetcher) error {
	encoded, err := r.encode()
	if err != nil {
		return err
	}
	giveBack, err := g.saving.take(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	content := append([]byte(sumLine(encoded)), encoded...)
	if len(content) > maxLastGoodBytes {
		return fmt.Errorf("the record has %d bytes, at most %d are kept", len(content),
			maxLastGoodBytes)
	}
	for _, directory := range []string{g.directory, g.modulesDirectory()} {
		if err := safefile.PrivateDirectory(directory); err != nil {
			return err
		}
	}
	for _, kept := range r.Modules {
		if err := g.saveModule(ctx, kept, modules); err != nil {
			return err
		}
	}
	if err := safefile.WritePrivate(g.recordPath(), content); err != nil {
		return err
	}
	return g.sweep(r)
}

func (g *lastGood) saveModule(ctx context.Context, kept keptModule,
	modules policyset.Fetcher) error {
	path := g.modulePath(kept.Digest)
	if g.isWritten(kept.Digest, path) {
		return nil
	}
	if _, err := g.readModule(kept.Digest, math.MaxInt64-1); err != nil {
		fetched, err := modules.Get(ctx, kept.Address.request())
		if err != nil {
			return fmt.Errorf("module %s: %w", module.Redact(kept.Address.URI), err)
		}
		if err := safefile.WritePrivate(path, fetched.Bytes); err != nil {
			return err
		}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	g.written[kept.Digest] = info
	return nil
}

// isWritten reports whether a module's file has not changed since its content was right, which
// saves reading it. Another process may have removed or changed it since.
func (g *lastGood) isWritten(digest, path string) bool {
	before, now := g.written[digest], fs.FileInfo(nil)
	if before != nil {
		now, _ = os.Lstat(path) // nil if there is none
	}
	return now != nil && os.SameFile(before, now) && before.Size() == now.Size() &&
		before.Mode() == now.Mode() && before.ModTime().Equal(now.ModTime())
}

// encode returns the record as JSON, with settings as they were written.
func (r *record) encode() ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(r)
	return buffer.Bytes(), err
}

// sweep removes modules that the record does not name, and files of interrupted writes.
func (g *lastGood) sweep(r *record) error {
	named := map[string]bool{}
	for _, kept := range r.Modules {
		named[kept.Digest] = true
	}
	entries, err := os.ReadDir(g.modulesDirectory())
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if digest := "sha256:" + entry.Name(); !named[digest] {
			errs = append(errs, os.Remove(filepath.Join(g.modulesDirectory(), entry.Name())))
			delete(g.written, digest)
		}
	}
	return errors.Join(errs...)
}

// load returns the kept record.
func (g *lastGood) load() (*record, error) {
	content, err := safefile.ReadPrivate(g.recordPath(), maxLastGoodBytes)
	if err != nil {
		return nil, err
	}
	line, encoded, found := bytes.Cut(content, []byte("\n"))
	if !found || string(line)+"\n" != sumLine(encoded) {
		return nil, fmt.Errorf(
			"%s is damaged: its content has another SHA-256 than its first line says",
			g.recordPath())
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields() // another version of the program may have written it
	r := &record{}
	if err := decoder.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", g.recordPath(), err)
	}
	return r, nil
}

// fetcher returns a fetcher of the kept modules of a record. A verifier judges each by the kept
// evidence, because the demands and the trust root may have changed.
func (g *lastGood) fetcher(r *record, maxBytes int64, verifier module.Verifier) policyset.Fetcher {
	k := &keptModules{
		lastGood: g,
		modules:  map[address]*keptModule{},
		maxBytes: maxBytes,
		verifier: verifier,
	}
	for n := range r.Modules {
		k.modules[r.Modules[n].Address] = &r.Modules[n]
	}
	return k
}

type keptModules struct {
	lastGood *lastGood
	modules  map[address]*keptModule
	maxBytes int64
	verifier module.Verifier // nil: modules are not verified
}

// Get implements [policyset.Fetcher].
func (k *keptModules) Get(ctx context.Context, request module.Request) (*module.Module, error) {
	kept := k.modules[addressOf(request)]
	if kept == nil {
		return nil, fmt.Errorf("module %s was not kept", module.Redact(request.URI))
	}
	m, err := k.lastGood.readModule(kept.Digest, k.maxBytes)
	if err != nil || k.verifier == nil {
		return m, err
	}
	if err := kept.Proof.Verify(ctx, k.verifier, request, m); err != nil {
		return nil, fmt.Errorf("module %s, %s: %w", module.Redact(request.URI), kept.Digest, err)
	}
	return m, nil
}

func (g *lastGood) readModule(digest string, maxBytes int64) (*module.Module, error) {
	wasm, err := safefile.ReadPrivate(g.modulePath(digest), maxBytes)
	if err != nil {
		return nil, err
	}
	if found := engine.Digest(wasm); found != digest {
		return nil, fmt.Errorf(
			"%s is damaged: its content has digest %s", g.modulePath(digest), found)
	}
	return &module.Module{Bytes: wasm, Digest: digest}, nil
}

func sumLine(content []byte) string { return hash(content) + "\n" }

// hash returns the SHA-256 in hexadecimal digits.
func hash[T ~string | ~[]byte](data T) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}
