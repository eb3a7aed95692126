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

package codecache_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
)

// open returns a cache that is closed at the end of the test, and its log.
func open(t *testing.T, directory string, maxBytes int64) (*codecache.Cache, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c, err := codecache.Open(directory, codecache.Options{
		MaxBytes: maxBytes,
		Logger:   slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, &log
}

func newDirectory(t *testing.T) string {
	return filepath.Join(t.TempDir(), "state", "compiled")
}

func key(name string) codecache.Key { return codecache.KeyOf([]byte(name)) }

// put stores an entry with one file of the given size.
func put(t *testing.T, c *codecache.Cache, name string, size int) {
	t.Helper()
	e, err := c.Entry(t.Context(), key(name))
	require.NoError(t, err)
	defer e.Close()
	require.False(t, e.Found())
	require.NoError(t,
		os.WriteFile(filepath.Join(e.Directory(), "code"), make([]byte, size), 0o600))
	require.NoError(t, e.Commit())
}

// found opens entries in this order, which counts as using them.
func found(t *testing.T, c *codecache.Cache, names ...string) (result []string) {
	t.Helper()
	for _, name := range names {
		e, err := c.Entry(t.Context(), key(name))
		require.NoError(t, err)
		if e.Found() {
			result = append(result, name)
		}
		e.Close()
	}
	return result
}

// namesIn returns the names in a directory, except the lock.
func namesIn(t *testing.T, directory string) []string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func manifestOf(directory, name string) string {
	return filepath.Join(directory, key(name).String()+".manifest")
}

func TestKeyOf(t *testing.T) {
	keys := map[codecache.Key]string{}
	for _, arguments := range [][]string{
		{""}, {"", ""}, {"ab"}, {"ab", ""}, {"a", "b"}, {"", "ab"}, {"a", "", "b"},
		{"ab", "v1", "linux"}, {"ab", "v1linux"},
	} {
		k := codecache.KeyOf([]byte(arguments[0]), arguments[1:]...)
		require.Equal(t, k, codecache.KeyOf([]byte(arguments[0]), arguments[1:]...))
		require.NotContains(t, keys, k, "%q", arguments)
		keys[k] = fmt.Sprint(arguments)
	}
}

func TestOpen(t *testing.T) {
	directory := newDirectory(t)
	c, err := codecache.Open(directory, codecache.Options{})
	require.NoError(t, err)
	info, err := os.Stat(directory)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())

	_, err = codecache.Open(directory, codecache.Options{})
	require.ErrorContains(t, err, "is in use by another process or another cache of this one")
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	_, err = c.Entry(t.Context(), key("a"))
	require.ErrorIs(t, err, codecache.ErrClosed)

	open(t, directory, 0)
}

func TestCloseWithOpenEntries(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	e, err := c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	require.ErrorContains(t, c.Close(), "1 entries are still open")
	_, err = codecache.Open(directory, codecache.Options{})
	require.ErrorContains(t, err, "in use", "a Close that failed keeps the directory")
	e.Close()
	e.Close()
	require.NoError(t, c.Close())
}

func TestOpenRefuses(t *testing.T) {
	made := func(t *testing.T, mode fs.FileMode) string {
		directory := newDirectory(t)
		require.NoError(t, os.MkdirAll(directory, 0o700))
		require.NoError(t, os.Chmod(directory, mode))
		return directory
	}
	linked := func(t *testing.T) string {
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(made(t, 0o700), link))
		return link
	}
	for _, test := range []struct {
		name      string
		directory func(t *testing.T) string
		err       string
	}{
		{"a relative path", func(*testing.T) string { return "compiled" }, "not an absolute path"},
		{"no path", func(*testing.T) string { return "" }, "not an absolute path"},
		{"a file", func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			return file
		}, "not a directory"},
		{"a link", linked, "is not a directory"},
		{"a link with a slash", func(t *testing.T) string { return linked(t) + "/" },
			"is not a directory"},
		{"readable by the group", func(t *testing.T) string { return made(t, 0o740) },
			"has mode 0740: group and others must have no access"},
		{"searchable by others", func(t *testing.T) string { return made(t, 0o701) },
			"has mode 0701: group and others must have no access"},
		{"a lock that is a link", func(t *testing.T) string {
			directory := made(t, 0o700)
			require.NoError(t,
				os.Symlink(filepath.Join(t.TempDir(), "elsewhere"),
					filepath.Join(directory, "lock")))
			return directory
		}, "lock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := codecache.Open(test.directory(t), codecache.Options{})
			require.ErrorContains(t, err, test.err)
		})
	}
	t.Run("a negative bound", func(t *testing.T) {
		_, err := codecache.Open(newDirectory(t), codecache.Options{MaxBytes: -1})
		require.ErrorContains(t, err, "cannot be bounded to -1 bytes")
	})
}

func TestOpenRemovesLeftovers(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	for _, name := range []string{
		"whole", "no manifest", "no directory", "manifest being replaced",
	} {
		put(t, c, name, 10)
	}
	require.NoError(t, c.Close())
	require.NoError(t, os.Remove(manifestOf(directory, "no manifest")))
	require.NoError(t, os.RemoveAll(filepath.Join(directory, key("no directory").String())))
	for _, name := range []string{"manifest being replaced", "manifest being written"} {
		require.NoError(t,
			os.WriteFile(filepath.Join(directory, key(name).String()+".tmp"), []byte("{"), 0o600))
	}
	foreign := []string{
		"README", "wazero-v1.11.0-amd64-linux", key("x").String() + ".manifest.old",
		key("x").String()[1:], "LOCK",
	}
	for _, name := range foreign {
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), nil, 0o600))
	}

	_, log := open(t, directory, 0)
	require.ElementsMatch(t,
		append(foreign, key("whole").String(), key("whole").String()+".manifest"),
		namesIn(t, directory))
	for _, name := range []string{
		"no manifest", "no directory", "manifest being replaced", "manifest being written",
	} {
		require.Contains(t, log.String(), key(name).String(), name)
	}
	require.Contains(t, log.String(), "count=5 first=")
}

func TestLeastRecentlyUsedAreRemoved(t *testing.T) {
	directory := newDirectory(t)
	c, log := open(t, directory, 300)
	put(t, c, "a", 100)
	put(t, c, "b", 100)
	put(t, c, "c", 100)
	require.Equal(t, []string{"a"}, found(t, c, "a"))
	put(t, c, "d", 1)
	require.Contains(t, log.String(), "Removing compiled code to make room")
	require.NotContains(t, namesIn(t, directory), key("b").String())
	require.Equal(t, []string{"a", "c", "d"}, found(t, c, "a", "b", "c", "d"))

	put(t, c, "e", 300)
	require.Len(t, namesIn(t, directory), 2)
	require.Equal(t, []string{"e"}, found(t, c, "a", "c", "d", "e"))
}

func TestUseIsRememberedAcrossRuns(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	long := time.Now().Add(-time.Hour)
	for i, name := range []string{"a", "b", "c"} {
		put(t, c, name, 100)
		require.NoError(t,
			os.Chtimes(manifestOf(directory, name), time.Time{},
				long.Add(time.Duration(i)*time.Minute)))
	}
	require.Equal(t, []string{"a"}, found(t, c, "a"))
	require.NoError(t, c.Close())

	c, _ = open(t, directory, 299)
	require.Equal(t, []string{"a", "c"}, found(t, c, "a", "b", "c"))
}

func TestOpenEntriesAreNotRemoved(t *testing.T) {
	c, _ := open(t, newDirectory(t), 100)
	put(t, c, "a", 100)
	a, err := c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	put(t, c, "b", 100)
	require.FileExists(t, filepath.Join(a.Directory(), "code"))
	require.Empty(t, found(t, c, "b"), "the only entry that could be removed")

	put(t, c, "c", 0)
	require.Equal(t, []string{"c"}, found(t, c, "c"), "100 bytes are within the bound")
	a.Close()
	require.Equal(t, []string{"a", "c"}, found(t, c, "a", "c"))
}

func TestEntryLargerThanTheBound(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 100)
	put(t, c, "a", 50)
	e, err := c.Entry(t.Context(), key("large"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(e.Directory(), "1"), make([]byte, 50), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(e.Directory(), "2"), make([]byte, 51), 0o600))
	require.ErrorContains(t, e.Commit(), "101 bytes of code are more than the cache may hold (100)")
	e.Close()
	require.Equal(t, []string{"a"}, found(t, c, "a", "large"),
		"nothing was removed to make room for the entry")
	require.Len(t, namesIn(t, directory), 2)
}

// An entry that appears in the directory after Open measured it is bounded, too, before it is read.
func TestFoundEntryLargerThanTheBound(t *testing.T) {
	elsewhere, directory := newDirectory(t), newDirectory(t)
	other, _ := open(t, elsewhere, 0)
	put(t, other, "a", 101)
	c, log := open(t, directory, 100)
	for _, name := range namesIn(t, elsewhere) {
		require.NoError(t,
			os.Rename(filepath.Join(elsewhere, name), filepath.Join(directory, name)))
	}
	require.Empty(t, found(t, c, "a"))
	require.Contains(t, log.String(), "101 bytes of code are more than the cache may hold (100)")
	require.Empty(t, namesIn(t, directory))
}

func TestCommitRefuses(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(directory string) error
		err     string
	}{
		{"nothing", func(string) error { return nil }, "is empty"},
		{"an empty directory", func(d string) error {
			return os.Mkdir(filepath.Join(d, "wazero"), 0o700)
		}, "is empty"},
		{"a link", func(d string) error {
			return os.Symlink("/dev/zero", filepath.Join(d, "code"))
		}, "neither a regular file nor a directory"},
		{"a file open to others", func(d string) error {
			file := filepath.Join(d, "code")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return err
			}
			return os.Chmod(file, 0o604)
		}, "has mode 0604"},
		{"too many files", func(d string) error {
			for i := range 32 {
				if err := os.WriteFile(filepath.Join(d, fmt.Sprint(i)), nil, 0o600); err != nil {
					return err
				}
			}
			return nil
		}, "more than 32 files and directories"},
		{"too deep", func(d string) error {
			for range 32 {
				d = filepath.Join(d, "d")
			}
			return os.MkdirAll(d, 0o700)
		}, "more than 32 files and directories"},
		{"the directory gone", os.RemoveAll, "no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			directory := newDirectory(t)
			c, _ := open(t, directory, 0)
			e, err := c.Entry(t.Context(), key("a"))
			require.NoError(t, err)
			require.NoError(t, test.prepare(e.Directory()))
			require.ErrorContains(t, e.Commit(), test.err)
			e.Close()
			require.Empty(t, namesIn(t, directory))
			require.ErrorContains(t, e.Commit(), "entry is closed")
			require.ErrorContains(t, e.Discard(), "entry is closed")
		})
	}
}

func TestUncommittedEntriesAreRemoved(t *testing.T) {
	directory := newDirectory(t)
	c, log := open(t, directory, 0)
	e, err := c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(e.Directory(), "code"), nil, 0o600))
	e.Close()
	require.Empty(t, namesIn(t, directory))
	require.Empty(t, log.String(), "a miss is not logged")
}

// A machine with another CPU adds its code to the entry.
func TestCommitOfWhatWasFoundAndAddedTo(t *testing.T) {
	c, log := open(t, newDirectory(t), 0)
	put(t, c, "a", 10)
	e, err := c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	require.True(t, e.Found())
	require.NoError(t,
		os.WriteFile(filepath.Join(e.Directory(), "code for another CPU"), nil, 0o600))
	require.NoError(t, e.Commit())
	e.Close()
	require.Equal(t, []string{"a"}, found(t, c, "a"))
	require.Empty(t, log.String())
}

func TestDiscard(t *testing.T) {
	directory := newDirectory(t)
	c, _ := open(t, directory, 0)
	put(t, c, "a", 10)
	e, err := c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	require.NoError(t, e.Discard())
	require.False(t, e.Found())
	require.Equal(t, []string{key("a").String()}, namesIn(t, directory))
	require.Empty(t, namesIn(t, e.Directory()))
	e.Close()
	require.Empty(t, namesIn(t, directory))
}

// The directory, or its lock, is removed while the cache is open.
func TestDirectoryGone(t *testing.T) {
	for name, path := range map[string]string{"all": "..", "directory": ".", "lock": "lock"} {
		t.Run(name, func(t *testing.T) {
			directory := newDirectory(t)
			c, log := open(t, directory, 0)
			put(t, c, "a", 10)
			require.NoError(t, os.RemoveAll(filepath.Join(directory, path)))
			put(t, c, "b", 10)
			require.Equal(t, []string{"b"}, found(t, c, "b"))
			require.Contains(t, log.String(), "was removed while in use")
			_, err := codecache.Open(directory, codecache.Options{})
			require.ErrorContains(t, err, "is in use by another process")
		})
	}
}

// What replaces the directory while the cache is open must meet the same conditions as in Open.
func TestDirectoryReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		replace func(t *testing.T, directory string)
		want    string
	}{
		"by a file": {func(t *testing.T, directory string) {
			require.NoError(t, os.WriteFile(directory, nil, 0o600))
		}, "not a directory"},
		"by a link to it": {func(t *testing.T, directory string) {
			require.NoError(t, os.Symlink(directory+"-moved", directory))
		}, "is not a directory"},
		"by one that others may write": {func(t *testing.T, directory string) {
			require.NoError(t, os.Rename(directory+"-moved", directory))
			require.NoError(t, os.Chmod(directory, 0o770)) // must be refused
		}, "group and others must have no access"},
		"by one of another process": {func(t *testing.T, directory string) {
			open(t, directory, 0)
		}, "is in use by another process"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := newDirectory(t)
			c, _ := open(t, directory, 0)
			put(t, c, "a", 10)
			require.NoError(t, os.Rename(directory, directory+"-moved"))
			test.replace(t, directory)
			_, err := c.Entry(t.Context(), key("a"))
			require.ErrorContains(t, err, "open compiled code "+key("a").String())
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestWaitingForAnEntryEndsWithTheContext(t *testing.T) {
	c, _ := open(t, newDirectory(t), 0)
	e, err := c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Entry(ctx, key("a"))
	require.ErrorIs(t, err, context.Canceled)
	put(t, c, "b", 1) // another key does not wait
}
