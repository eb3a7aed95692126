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

// Package safefile reads and writes files and directories that decide what the apiserver runs.
//
// [Read], [Open] and [ReadNames] are for an administrator's files: policies, manifests and
// credentials. They accept only files that nobody except root and the user of this process can have
// written or put there.
//
// The other functions are for this process's own files, which become code inside the apiserver.
// They refuse files that belong to another user, and files to which group or others have any
// access. The administrator must protect the directories above. On systems without file owners,
// modes and locks, these functions fail with an error that wraps [errors.ErrUnsupported].
//
// The functions hold no state and are safe for concurrent use.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// TooLargeError says that a file exceeds its size limit.
type TooLargeError struct {
	// Path is the file.
	Path string
	// Size is its size in bytes, as far as it is known.
	Size int64
	// Max is the largest size allowed, in bytes.
	Max int64
}

// Error names the file and both sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes, at most %d are allowed", e.Path, e.Size, e.Max)
}

// Read returns the content of the regular file at an absolute path, which may contain symbolic
// links. It fails if others could have written the file or a directory on its path. If the file has
// more than maxBytes bytes, the error is a *TooLargeError.
func Read(path string, maxBytes int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return readAtMost(file, path, maxBytes)
}

// Open opens the regular file at an absolute path with the same checks as [Read]. It is for files
// that are too large to read at once.
func Open(path string) (*os.File, error) {
	return open(path, "a regular file", fs.FileMode.IsRegular)
}

// open opens the file at an absolute path, if nobody else can have put or written it there.
func open(path, what string, is func(fs.FileMode) bool) (*os.File, error) {
	target, err := resolve(path)
	if err != nil {
		return nil, err
	}
	// From here on, nobody else can replace the file. The file is opened last, because opening a
	// FIFO would block.
	info, err := os.Lstat(target)
	if err != nil {
		return nil, err
	}
	if !is(info.Mode()) {
		return nil, fmt.Errorf("%s is not %s", target, what)
	}
	if err := checkOwnerAndMode(target, info); err != nil {
		return nil, err
	}
	return os.Open(target)
}

// readAtMost reads an open file. The path is for errors.
func readAtMost(file *os.File, path string, maxBytes int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, err
	}
	size := int64(len(content))
	if size <= maxBytes {
		return content, nil
	}
	if info, err := file.Stat(); err == nil {
		size = max(size, info.Size())
	}
	return nil, &TooLargeError{Path: path, Size: size, Max: maxBytes}
}

// ReadNames returns the sorted names of the entries in the directory at an absolute path, which may
// contain symbolic links. It fails if others could have put an entry there, and if there are more
// than maxEntries.
func ReadNames(path string, maxEntries int) ([]string, error) {
	directory, err := open(path, "a directory", fs.FileMode.IsDir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = directory.Close() }() // it was only read
	names, err := directory.Readdirnames(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxEntries {
		return nil, fmt.Errorf("%s holds more than %d entries", path, maxEntries)
	}
	slices.Sort(names)
	return names, nil
}

// resolve follows the symbolic links of an absolute path. ConfigMaps and package managers use links
// to switch versions. Both the path to the link and the path to its target must be safe.
func resolve(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is not an absolute path", path)
	}
	target, err := filepath.EvalSymlinks(path)
	if at := (*fs.PathError)(nil); errors.As(err, &at) && at.Path != path {
		// The error of EvalSymlinks may name a missing directory on the path instead of the
		// requested file.
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err != nil {
		return "", err
	}
	for _, p := range []string{filepath.Clean(path), target} {
		if err := checkDirectories(p); err != nil {
			return "", err
		}
	}
	return target, nil
}

// checkDirectories checks every directory on the path.
func checkDirectories(path string) error {
	for directory := filepath.Dir(path); ; directory = filepath.Dir(directory) {
		info, err := os.Stat(directory)
		if err != nil {
			return err
		}
		if err := checkOnTheWay(directory, info); err != nil {
			return err
		}
		if directory == filepath.Dir(directory) {
			return nil
		}
	}
}
