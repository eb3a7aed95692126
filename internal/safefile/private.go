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

package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked says that another process or caller holds the lock.
var ErrLocked = errors.New("locked by another")

// CheckPrivate refuses a file that belongs to another user than that of this process, or to which
// group or others have any access.
func CheckPrivate(path string, info fs.FileInfo) error { return check(path, info, os.Geteuid()) }

// PrivateDirectory creates a directory with mode 0700, and its parents, if it does not exist. It
// refuses an existing one that is not private. A symbolic link does not count as a directory. The
// path must have no trailing slash, because the system would then follow a link.
func PrivateDirectory(path string) error {
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
	return CheckPrivate(path, info)
}

// Lock creates a file if it does not exist, and locks it until the returned file is closed. If
// another process, or another caller in this process, holds the lock, Lock returns [ErrLocked] at
// once.
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

// OpenPrivate opens a private regular file for reading. It does not follow symbolic links.
func OpenPrivate(path string) (*os.File, error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err == nil {
		err = CheckPrivate(path, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ReadPrivate returns the content of a private regular file. For a file with more than maxBytes
// bytes, it returns a [*TooLargeError].
func ReadPrivate(path string, maxBytes int64) ([]byte, error) {
	f, err := OpenPrivate(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return readAtMost(f, path, maxBytes)
}

// WritePrivate writes a private file atomically, and syncs it to the disk. It first writes a file
// whose name begins with [TemporaryPrefix] in the same directory. An interrupted run leaves this
// file behind.
func WritePrivate(path string, content []byte) (err error) {
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

// TemporaryPrefix is the prefix of files that [WritePrivate] has not finished.
const TemporaryPrefix = ".tmp-"

// SyncDirectory syncs the names in a directory to the disk.
func SyncDirectory(directory string) error {
	f, err := os.Open(directory)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}
