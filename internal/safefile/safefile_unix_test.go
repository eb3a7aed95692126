//go:build unix

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

package safefile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wasm-admission/wasm-admission/internal/safefile"
)

const content = "any bytes"

func write(t *testing.T, path string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.Chmod(path, mode))
}

func TestRead(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "with space", "file"))
	bytes, err := safefile.Read(path, int64(len(content)))
	require.NoError(t, err)
	require.Equal(t, content, string(bytes))

	_, err = safefile.Read(path, int64(len(content))-1)
	require.Equal(t, &safefile.TooLargeError{Path: path, Size: 9, Max: 8}, err)
	require.EqualError(t, err, path+" has 9 bytes, at most 8 are allowed")
}

// Kubernetes switches the content of a ConfigMap volume with symbolic links.
func TestReadFollowsLinks(t *testing.T) {
	directory := t.TempDir()
	write(t, filepath.Join(directory, "..2026", "file"))
	require.NoError(t, os.Symlink("..2026", filepath.Join(directory, "..data")))
	path := filepath.Join(directory, "file")
	require.NoError(t, os.Symlink("..data/file", path))
	_, err := safefile.Read(path, 10)
	require.NoError(t, err)

	chmod(t, filepath.Join(directory, "..2026"), 0o777)
	_, err = safefile.Read(path, 10)
	require.ErrorContains(t, err,
		"..2026 has mode 0777: group and others must not be able to write it")
}

func TestReadRefuses(t *testing.T) {
	directory := t.TempDir()
	for name, test := range map[string]struct {
		prepare func(path string)
		err     string
	}{
		"a missing file": {func(string) {}, "no such file or directory"},
		"a directory": {func(path string) { require.NoError(t, os.MkdirAll(path, 0o755)) },
			"is not a regular file"},
		// Opening a FIFO without a writer would block forever.
		"a FIFO": {func(path string) {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, unix.Mkfifo(path, 0o600))
		}, "is not a regular file"},
		"a file that others may write": {func(path string) { chmod(t, write(t, path), 0o646) },
			"has mode 0646: group and others must not be able to write it (chmod go-w "},
		"a file that the group may write": {func(path string) { chmod(t, write(t, path), 0o664) },
			"has mode 0664"},
		"a directory on the way": {func(path string) {
			chmod(t, filepath.Dir(write(t, path)), 0o757)
		}, "has mode 0757"},
		"a dangling link": {func(path string) {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.Symlink("nowhere", path))
		}, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(directory, name, "file")
			test.prepare(path)
			_, err := safefile.Read(path, 10)
			require.ErrorContains(t, err, test.err)
		})
	}
	// The error names the requested file, whatever is missing on its path.
	path := filepath.Join(directory, "none", "at", "all")
	_, err := safefile.Read(path, 10)
	require.EqualError(t, err, "open "+path+": lstat "+filepath.Join(directory, "none")+
		": no such file or directory")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = safefile.Read("relative", 10)
	require.EqualError(t, err, `"relative" is not an absolute path`)
}

func TestReadNames(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{"b", ".a", "c"} {
		write(t, filepath.Join(directory, "policies", name))
	}
	path := filepath.Join(directory, "link")
	require.NoError(t, os.Symlink("policies", path))
	names, err := safefile.ReadNames(path, 3)
	require.NoError(t, err)
	require.Equal(t, []string{".a", "b", "c"}, names)

	require.NoError(t, os.Mkdir(filepath.Join(directory, "empty"), 0o755))
	names, err = safefile.ReadNames(filepath.Join(directory, "empty"), 3)
	require.NoError(t, err)
	require.Empty(t, names)

	_, err = safefile.ReadNames(path, 2)
	require.EqualError(t, err, path+" holds more than 2 entries")
	_, err = safefile.ReadNames(filepath.Join(path, "b"), 3)
	require.ErrorContains(t, err, "policies/b is not a directory")
	_, err = safefile.ReadNames(filepath.Join(path, "none"), 3)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = safefile.ReadNames("policies", 3)
	require.EqualError(t, err, `"policies" is not an absolute path`)

	chmod(t, filepath.Join(directory, "policies"), 0o775)
	_, err = safefile.ReadNames(path, 3)
	require.ErrorContains(t, err, "policies has mode 0775")
}

// In a directory with the sticky bit, other users cannot replace each other's entries, but can add
// entries. Such a directory cannot be listed safely.
func TestReadNamesRefusesStickyDirectories(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o777|os.ModeSticky))
	_, err := safefile.Read(write(t, filepath.Join(directory, "file")), 10)
	require.NoError(t, err)
	_, err = safefile.ReadNames(directory, 3)
	require.ErrorContains(t, err, "has mode 0777: group and others must not be able to write it")
}
