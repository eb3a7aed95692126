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

package engine_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
)

func TestCompiledCodeIsKept(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "state", "compiled")
	t.Run("first", func(t *testing.T) {
		load(t, engine.Options{CacheDirectory: directory}, "guest")
	})
	info, err := os.Stat(directory)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	entries := func() (written []string) {
		names, err := filepath.Glob(filepath.Join(directory, "*", "*", "*"))
		require.NoError(t, err)
		for _, name := range names {
			info, err := os.Stat(name)
			require.NoError(t, err)
			written = append(written, name+" "+info.ModTime().String())
		}
		return written
	}
	before := entries()
	require.NotEmpty(t, before)
	t.Run("again", func(t *testing.T) {
		load(t, engine.Options{CacheDirectory: directory}, "guest")
	})
	require.Equal(t, before, entries())
}

// TestKeptCodeIsTheModules checks that a module behaves the same when it was just compiled, when it
// is loaded through its shell, and without a cache, including the functions in a trap's backtrace.
func TestKeptCodeIsTheModules(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "compiled")
	var traces []string
	for _, way := range []string{"", directory, directory} {
		t.Run(way, func(t *testing.T) { // which closes the engine at its end
			var log bytes.Buffer
			m := load(t, engine.Options{
				CacheDirectory: way,
				Logger:         slog.New(slog.NewTextHandler(&log, nil)),
			}, "names")
			require.NotContains(t, log.String(), "Compiling in memory")
			evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
				require.EqualValues(t, 42, call(t, i, "answer"))
				_, err := i.Call("boom")
				require.Equal(t, engine.CauseUnreachable, engine.CauseOf(err))
				trace := errors.Unwrap(errors.Unwrap(err)).Error()
				require.Contains(t, trace, ".inner(i32)")
				traces = append(traces, trace)
			})
		})
	}
	require.Len(t, traces, 3)
	require.Equal(t, traces[0], traces[1])
	require.Equal(t, traces[0], traces[2])
}

// TestCodeForAnotherProcessor puts the code where wazero looks for it on another processor.
func TestCodeForAnotherProcessor(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "compiled")
	t.Run("this one", func(t *testing.T) {
		load(t, engine.Options{CacheDirectory: directory}, "names")
	})
	files := func() []string {
		files, err := filepath.Glob(filepath.Join(directory, "*", "*", "*"))
		require.NoError(t, err)
		require.Len(t, files, 1)
		return files
	}
	file := files()[0]
	moveCode(t, directory, file, strings.Repeat("0", len(filepath.Base(file))))

	var log bytes.Buffer
	m := load(t, engine.Options{
		CacheDirectory: directory,
		Logger:         slog.New(slog.NewTextHandler(&log, nil)),
	}, "names")
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		require.EqualValues(t, 42, call(t, i, "answer"))
	})
	require.NotContains(t, log.String(), "Compiling in memory")
	require.Equal(t, file, files()[0])
}

// moveCode renames the only file of the only entry in a directory.
func moveCode(t *testing.T, directory, file, name string) {
	t.Helper()
	cache, err := codecache.Open(directory, codecache.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, cache.Close()) }()
	key, err := hex.DecodeString(filepath.Base(filepath.Dir(filepath.Dir(file))))
	require.NoError(t, err)
	entry, err := cache.Entry(t.Context(), codecache.Key(key))
	require.NoError(t, err)
	defer entry.Close()
	require.True(t, entry.Found())
	require.NoError(t, os.Rename(file, filepath.Join(filepath.Dir(file), name)))
	require.NoError(t, entry.Commit())
}

// A policy must be enforced even if there is no place for its code.
func TestDirectoriesThatCannotBeUsed(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T) string
		log     string
	}{
		{"relative", func(*testing.T) string { return "compiled" }, "not an absolute path"},
		{"a file", func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			return file
		}, "not a directory"},
		{"readable by others", func(t *testing.T) string {
			directory := filepath.Join(t.TempDir(), "open")
			require.NoError(t, os.Mkdir(directory, 0o755))
			return directory
		}, "group and others must have no access"},
		{"a link", func(t *testing.T) string {
			link := filepath.Join(t.TempDir(), "link")
			require.NoError(t, os.Symlink(t.TempDir(), link))
			return link
		}, "is not a directory"},
		{"none", func(*testing.T) string { return "" }, "codeKept=false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			m := load(t, engine.Options{
				CacheDirectory: test.prepare(t),
				Logger:         slog.New(slog.NewTextHandler(&log, nil)),
			}, "guest")
			require.Contains(t, log.String(), test.log)
			i, err := m.Acquire(t.Context(), engine.Evaluation{})
			require.NoError(t, err)
			i.Release()
		})
	}
}
