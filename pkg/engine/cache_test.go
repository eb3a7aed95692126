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
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func TestCompiledCodeIsKept(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "state", "compiled")
	load(t, engine.Options{CacheDirectory: directory}, "guest")
	info, err := os.Stat(directory)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	entries := func() (names []string) {
		names, err := filepath.Glob(filepath.Join(directory, "*", "*"))
		require.NoError(t, err)
		return names
	}
	before := entries()
	require.NotEmpty(t, before)
	load(t, engine.Options{CacheDirectory: directory}, "guest")
	require.Equal(t, before, entries())
}

// A policy must be enforced with or without a place for its code.
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
