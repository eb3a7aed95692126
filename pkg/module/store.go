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
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/internal/moduleuri"
	"github.com/wasm-admission/wasm-admission/internal/safefile"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// Store is a directory of modules by digest, with what is known about URIs:
//
//	<directory>/sha256/<hex>.wasm    a module
//	<directory>/index/<hex>.json     what a URI refers to; the name is the URI's SHA-256
//	<directory>/evidence/<hex>.json  the evidence on which a verifier accepted it; same name
//
// The Store writes files atomically, and compares them with their names when it reads them. It
// removes damaged files and treats them as missing. Any number of processes and goroutines of one
// user may use a directory at the same time. The methods of a nil Store find and keep nothing.
type Store struct {
	modules string
	index   string
	proofs  string
}

// OpenStore opens a directory. The path must be absolute; OpenStore creates the directory with mode
// 0700 if it does not exist. It fails if the directory, or one of its subdirectories, is a symbolic
// link, belongs to anyone but the effective user, or gives any access to group or others. On
// systems without file owners, the error wraps [errors.ErrUnsupported].
//
// A directory on a read-only file system can be opened if it has its subdirectories. The log then
// says that nothing can be kept.
func OpenStore(directory string) (*Store, error) {
	if !filepath.IsAbs(directory) {
		return nil, fmt.Errorf("directory for modules: %q is not an absolute path", directory)
	}
	directory = filepath.Clean(directory)
	s := &Store{
		modules: filepath.Join(directory, "sha256"),
		index:   filepath.Join(directory, "index"),
		proofs:  filepath.Join(directory, "evidence"),
	}
	for _, d := range []string{directory, s.modules, s.index, s.proofs} {
		if err := safefile.PrivateDirectory(d); err != nil {
			return nil, fmt.Errorf("directory for modules: %w", err)
		}
	}
	return s, nil
}

// Put stores a module.
func (s *Store) Put(m *Module) error {
	if s == nil {
		return nil
	}
	path, err := s.path(m.Digest)
	if err != nil {
		return err
	}
	if engine.Digest(m.Bytes) != m.Digest {
		return fmt.Errorf("keep module: its digest is not %s", m.Digest)
	}
	if err := safefile.WritePrivate(path, m.Bytes); err != nil {
		return fmt.Errorf("keep module: %w", err)
	}
	return nil
}

// put is like Put, for a module that is usable even if it cannot be stored.
func (s *Store) put(ctx context.Context, m *Module) {
	if err := s.Put(m); err != nil {
		klog.FromContext(ctx).
			Error(err, "Cannot store a module: it must be fetched again after a restart")
	}
}

// Get returns the bytes of a module. If the module is missing, damaged, or larger than maxBytes,
// the error wraps [fs.ErrNotExist]. Get removes a damaged module.
func (s *Store) Get(digest string, maxBytes int64) ([]byte, error) {
	if s == nil {
		return nil, fs.ErrNotExist
	}
	path, err := s.path(digest)
	if err != nil {
		return nil, err
	}
	bytes, err := read(path, maxBytes)
	if err != nil {
		return nil, err
	}
	if got := engine.Digest(bytes); got != digest {
		return nil, errors.Join(fmt.Errorf("%s is damaged, its digest is %s: %w", path, got,
			fs.ErrNotExist), os.Remove(path))
	}
	return bytes, nil
}

// get is like Get, for a module that can be fetched again. It returns nil if it must be.
func (s *Store) get(ctx context.Context, digest string, maxBytes int64) []byte {
	bytes, err := s.Get(digest, maxBytes)
	var open *fs.PathError // a damaged file does not exist either, but has another error
	absent := s == nil || errors.As(err, &open) && errors.Is(err, fs.ErrNotExist)
	if err != nil && !absent {
		klog.FromContext(ctx).Error(err, "Cannot use a stored module", "digest", digest)
	}
	return bytes
}

func (s *Store) path(digest string) (string, error) {
	if !moduleuri.IsDigest(digest) {
		return "", fmt.Errorf(
			"digest %.100q is not sha256: and 64 lower-case hexadecimal digits", digest)
	}
	return filepath.Join(s.modules, strings.TrimPrefix(digest, "sha256:")+".wasm"), nil
}

// read reads a file of the store. A file that is too large counts as missing, because the size
// limit may differ between starts.
func read(path string, maxBytes int64) ([]byte, error) {
	content, err := safefile.ReadPrivate(path, maxBytes)
	if errors.As(err, new(*safefile.TooLargeError)) {
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return content, err
}

// unfinished is the age from which an unfinished file counts as left by an interrupted run.
const unfinished = time.Hour

// Collect removes all modules except those with the given digests. It also removes what is known
// about URIs that refer to removed modules, the evidence for them, and leftovers of interrupted
// runs. If another process needs a removed module, it fetches the module again.
func (s *Store) Collect(keep []string) error {
	if s == nil {
		return nil
	}
	kept := map[string]bool{}
	for _, digest := range keep {
		kept[digest] = true
	}
	return errors.Join(
		removeFrom(s.index, func(path string) bool {
			e, err := readEntry(path)
			return err == nil && kept[e.Digest]
		}),
		removeFrom(s.proofs, s.hasEntry),
		removeFrom(s.modules, func(path string) bool {
			hex, ok := strings.CutSuffix(filepath.Base(path), ".wasm")
			return ok && kept["sha256:"+hex]
		}),
	)
}

// removeFrom removes the files in a directory that keep does not accept.
func removeFrom(directory string, keep func(path string) bool) error {
	files, err := os.ReadDir(directory)
	errs := []error{err}
	for _, file := range files {
		path := filepath.Join(directory, file.Name())
		if strings.HasPrefix(file.Name(), safefile.TemporaryPrefix) {
			if info, err := file.Info(); err != nil || time.Since(info.ModTime()) < unfinished {
				continue
			}
		} else if keep(path) {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
