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

// Package private makes and opens files and directories that belong to the user
// of this process alone: what is kept in them becomes code inside the apiserver.
// Everything that belongs to somebody else, or that group or others have any
// access to, is refused. The directories above are for the administrator to
// protect.
//
// On systems without file owners, modes and locks everything fails with an error
// that wraps [errors.ErrUnsupported].
package private

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked says that somebody else holds a lock.
var ErrLocked = errors.New("locked by another")

// TooLargeError says that a file has more bytes than the reader wants.
type TooLargeError struct {
	Path     string
	MaxBytes int64
}

// Error implements the error interface.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is larger than %d bytes", e.Path, e.MaxBytes)
}

// Check refuses what belongs to another user than this process runs as, or what
// group or others have access to.
func Check(path string, info fs.FileInfo) error { return check(path, info, os.Geteuid()) }

// Directory makes a directory with mode 0700, and those above it, if it does not
// exist, and refuses one that is not private. A symbolic link is no directory; the
// path has no trailing slash, which would have the link followed.
func Directory(path string) error {
	if !supported {
		return fmt.Errorf("%s: file owners, modes and locks: %w", path, errors.ErrUnsupported)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	return Check(path, info)
}

// Lock makes a file if it does not exist and locks it until the file that it
// returns is closed. If another process, or another caller in this one, holds the
// lock, the error is [ErrLocked] at once.
func Lock(path string) (*os.File, error) {
	f, err := openFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// Open opens a private regular file for reading. It follows no symbolic link.
func Open(path string) (*os.File, error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil {
		err = Check(path, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Read returns the content of a private regular file. One with more than maxBytes bytes
// is not read; the error is a [*TooLargeError].
func Read(path string, maxBytes int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	content, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > maxBytes {
		return nil, &TooLargeError{Path: path, MaxBytes: maxBytes}
	}
	return content, nil
}

// Write puts a private file at a path, whole or not at all, and through to the
// disk. What is written meanwhile has a name that begins with [TemporaryPrefix], in
// the same directory, where an interrupted run leaves it.
func Write(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), TemporaryPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDirectory(filepath.Dir(path))
}

// TemporaryPrefix begins the names of files that [Write] has not finished.
const TemporaryPrefix = ".tmp-"

// SyncDirectory writes the names in a directory through to the disk.
func SyncDirectory(directory string) error {
	f, err := os.Open(directory)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}
