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

// Package policystore is kwctl's store of policies in the user's cache directory. It has the same
// place and layout, so that each command finds the policies that the other has pulled:
//
//	<cache>/kubewarden/store/registry/ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
//	<cache>/kubewarden/store/https/example.com/policies/policy.wasm
//
// Only its place identifies a file. Nothing proves that a file is what its place says, so the store
// cannot answer a reference with a digest.
package policystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const (
	// maxEntries bounds the files and directories of a store, and the entries of an archive.
	maxEntries = 10_000
	// maxModuleBytes bounds a module of the store. It exceeds the maximum of limits.moduleSize.
	maxModuleBytes = 1 << 30
	// maxArchiveBytes bounds the total size of the modules in an archive.
	maxArchiveBytes = 4 << 30
	// wasmMagic is the beginning of every module.
	wasmMagic = "\x00asm"
	// temporary is the prefix of unfinished files.
	temporary = ".tmp-"
)

// Store is a store of policies. Its directory need not exist. Several processes may use it at the
// same time. It is safe for concurrent use.
type Store struct {
	root                            string
	maxEntries                      int
	maxModuleBytes, maxArchiveBytes int64
}

// Default returns the user's store. It fails if the user's cache directory is unknown.
func Default() (*Store, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the store of policies: %w", err)
	}
	return New(filepath.Join(cache, application(), "store")), nil
}

// New returns the store in a directory, which is created when something is stored.
func New(root string) *Store {
	return &Store{
		root:            root,
		maxEntries:      maxEntries,
		maxModuleBytes:  maxModuleBytes,
		maxArchiveBytes: maxArchiveBytes,
	}
}

// ConfigDirectory returns kwctl's configuration directory, which need not exist.
func ConfigDirectory() (string, error) {
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the configuration of kwctl: %w", err)
	}
	return filepath.Join(config, application()), nil
}

// application returns kwctl's name for its directories.
func application() string {
	if runtime.GOOS == "darwin" {
		return "io.kubewarden.kubewarden"
	}
	return "kubewarden"
}

// Root returns the store's directory.
func (s *Store) Root() string { return s.root }

// URIOf returns the URI of a file in the store, given its absolute path.
func (s *Store) URIOf(path string) (uri string, ok bool) {
	place, err := filepath.Rel(s.root, path)
	if err != nil {
		return "", false
	}
	return uriOf(filepath.ToSlash(place))
}

// NotFoundError says that the store does not contain a policy.
type NotFoundError struct {
	// Policy is the requested policy: a URI, or the beginning of a digest.
	Policy string
}

// Error says what to do.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf(
		"Cannot find policy '%s' inside of the local store: pull it first, or list the store with the command policies",
		e.Policy)
}

// Get returns the module with a URI. If there is none, the error is a [*NotFoundError].
func (s *Store) Get(uri string) ([]byte, error) {
	place, err := Place(uri)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{uri}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was only read
	content, err := s.read(root, place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{uri}
	}
	if err == nil && s.check(uri, content) != nil {
		err =
			fmt.Errorf(
				"%s is damaged and not a WebAssembly module: remove it with the command rm, and pull it again",
				filepath.Join(s.root, filepath.FromSlash(place)))
	}
	return content, err
}

// read reads a module. It follows no link out of the store.
func (s *Store) read(root *os.Root, place string) ([]byte, error) {
	info, err := root.Stat(place)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: remove it", filepath.Join(s.root, place))
	}
	file, err := root.Open(place)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, s.maxModuleBytes+1))
	if err != nil {
		return nil, err
	}
	if size := int64(len(content)); size > s.maxModuleBytes {
		return nil, fmt.Errorf("%s has more than %d bytes, too many for a module: remove it",
			filepath.Join(s.root, place), s.maxModuleBytes)
	}
	return content, nil
}

// Put stores a module under a URI, atomically.
func (s *Store) Put(uri string, content []byte) (err error) {
	place, err := Place(uri)
	if err != nil {
		return err
	}
	if err := s.check(uri, content); err != nil {
		return err
	}
	if err := os.MkdirAll(s.root, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.MkdirAll(path.Dir(place), 0o700); err != nil {
		return err
	}
	unfinished := path.Join(path.Dir(place), temporary+rand.String(10))
	if err = root.WriteFile(unfinished, content, 0o600); err == nil {
		err = root.Rename(unfinished, place)
	}
	if err != nil {
		_ = root.Remove(unfinished) // if it exists
	}
	return err
}

// check refuses content that is not a module, and modules that the store could not return.
func (s *Store) check(uri string, content []byte) error {
	switch {
	case !strings.HasPrefix(string(content[:min(len(content), len(wasmMagic))]), wasmMagic):
		return fmt.Errorf("%s is not a WebAssembly module", uri)
	case int64(len(content)) > s.maxModuleBytes:
		return fmt.Errorf("%s has %d bytes, at most %d are kept", uri, len(content),
			s.maxModuleBytes)
	}
	return nil
}

// Remove removes the module with a URI, and the directories that are then empty. If there is none,
// the error is a [*NotFoundError].
func (s *Store) Remove(uri string) (err error) {
	place, err := Place(uri)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return &NotFoundError{uri}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	// A directory belongs to the paths of other modules.
	info, err := root.Lstat(place)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return &NotFoundError{uri}
	}
	if err != nil {
		return err
	}
	if err := root.Remove(place); err != nil {
		return err
	}
	for directory := path.Dir(place); directory != "."; directory = path.Dir(directory) {
		if root.Remove(directory) != nil { // it is not empty
			break
		}
	}
	return nil
}

// Each calls f for each module of the store, ordered by place, until f returns an error.
func (s *Store) Each(f func(uri string, content []byte) error) (err error) {
	root, err := os.OpenRoot(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	entries := 0
	return fs.WalkDir(root.FS(), ".", func(place string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entries++; entries > s.maxEntries {
			return fmt.Errorf("%s has more than %d entries: remove some policies", s.root,
				s.maxEntries)
		}
		uri, ok := uriOf(place)
		if !ok || !entry.Type().IsRegular() {
			return nil
		}
		content, err := s.read(root, place)
		if errors.Is(err, fs.ErrNotExist) { // somebody has just removed it
			return nil
		}
		if err != nil {
			return err
		}
		return f(uri, content)
	})
}

// Find returns the URI and the module whose digest begins with a hexadecimal text. If there is
// none, the error is a [*NotFoundError]. If there are several, the error names two of them.
func (s *Store) Find(beginning string) (uri string, content []byte, err error) {
	digest := ""
	err = s.Each(func(other string, bytes []byte) error {
		got := strings.TrimPrefix(engine.Digest(bytes), "sha256:")
		switch {
		case !strings.HasPrefix(got, beginning):
		case digest == "":
			uri, content, digest = other, bytes, got
		default:
			return fmt.Errorf(
				"%s is the beginning of the digests of both %s and %s: write more of the digest, or a URI",
				beginning, uri, other)
		}
		return nil
	})
	if err == nil && digest == "" {
		err = &NotFoundError{beginning}
	}
	return uri, content, err
}
