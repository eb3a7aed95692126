//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

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
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckPrivate(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, PrivateDirectory(directory))
	info, err := os.Lstat(directory)
	require.NoError(t, err)
	require.EqualValues(t, 0o700, info.Mode().Perm())
	require.NoError(t, check(directory, info, os.Geteuid()))
	require.ErrorContains(t, check(directory, info, os.Geteuid()+1),
		fmt.Sprintf("belongs to user %d, not to user %d", os.Geteuid(), os.Geteuid()+1))
}

func TestPrivateDirectoryRefuses(t *testing.T) {
	root := t.TempDir()
	for name, prepare := range map[string]func(path string) error{
		"is not a directory": func(path string) error { return os.Symlink(root, path) },
		"not a directory":    func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"has mode 0750":      func(path string) error { return os.Mkdir(path, 0o750) },
	} {
		path := filepath.Join(root, name)
		require.NoError(t, prepare(path))
		require.ErrorContains(t, PrivateDirectory(path), name)
	}
}

func TestOpenPrivateRefuses(t *testing.T) {
	root := t.TempDir()
	for name, prepare := range map[string]func(path string) error{
		"no such file or directory": func(string) error { return nil },
		"is not a regular file":     func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"has mode 0640": func(path string) error {
			return os.WriteFile(path, nil, 0o640)
		},
		"too many levels": func(path string) error {
			return os.Symlink(os.DevNull, path)
		},
	} {
		path := filepath.Join(root, name)
		require.NoError(t, prepare(path))
		_, err := OpenPrivate(path)
		require.ErrorContains(t, err, name)
	}
}

func TestWritePrivateReplacesWhole(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "file")
	for _, content := range []string{"first", "2"} {
		require.NoError(t, WritePrivate(path, []byte(content)))
		f, err := OpenPrivate(path)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
	}
	// A directory is in the way. Nothing is left behind.
	require.NoError(t, os.Mkdir(filepath.Join(root, "directory"), 0o700))
	require.Error(t, WritePrivate(filepath.Join(root, "directory"), nil))
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, entries, 2)
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := Lock(path)
	require.NoError(t, err)
	_, err = Lock(path)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, f.Close())
	f, err = Lock(path)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestReadPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
	content, err := ReadPrivate(path, 7)
	require.NoError(t, err)
	require.Equal(t, "content", string(content))
	_, err = ReadPrivate(path, 6)
	require.Equal(t, &TooLargeError{Path: path, Size: 7, Max: 6}, err)
	require.NoError(t, os.Chmod(path, 0o640))
	_, err = ReadPrivate(path, 7)
	require.ErrorContains(t, err, "has mode 0640")
}
