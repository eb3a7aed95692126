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

package module_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wasm-admission/wasm-admission/pkg/module"
)

const content = "any bytes"

func write(t *testing.T, path string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func TestFetchReadsAndHashes(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "with space", "policy.wasm"))
	fetcher := module.Fetcher{MaxBytes: int64(len(content))}
	got, err := fetcher.Fetch(t.Context(), "file://"+path)
	require.NoError(t, err)
	require.Equal(t, &module.Module{
		Bytes: []byte(content),
		// as sha256sum prints it
		Digest: "sha256:23914a83c3c7080988b4aab957e8c1abf4a281df9cc77c7e1d43d3e81f39e94e",
	}, got)
}

// Command-line tools may read files that others could have written.
func TestFilesAreReadInOtherWays(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "policy.wasm"))
	require.NoError(t, os.Chmod(path, 0o666))
	fetcher, err := module.NewFetcher(module.Options{
		MaxBytes: 1 << 10,
		ReadFile: func(path string, _ int64) ([]byte, error) { return os.ReadFile(path) },
	})
	require.NoError(t, err)
	got, err := fetcher.Fetch(t.Context(), "file://"+path)
	require.NoError(t, err)
	require.Equal(t, content, string(got.Bytes))
}

// Kubernetes switches the content of a ConfigMap volume with symbolic links.
func TestFetchFollowsLinks(t *testing.T) {
	directory := t.TempDir()
	write(t, filepath.Join(directory, "..2026", "policy.wasm"))
	require.NoError(t, os.Symlink("..2026", filepath.Join(directory, "..data")))
	require.NoError(t, os.Symlink("..data/policy.wasm", filepath.Join(directory, "policy.wasm")))
	fetcher := module.Fetcher{MaxBytes: 1 << 10}
	_, err := fetcher.Fetch(t.Context(), "file://"+filepath.Join(directory, "policy.wasm"))
	require.NoError(t, err)

	require.NoError(t, os.Chmod(filepath.Join(directory, "..2026"), 0o777))
	_, err = fetcher.Fetch(t.Context(), "file://"+filepath.Join(directory, "policy.wasm"))
	require.ErrorContains(t, err,
		"..2026 has mode 0777: group and others must not be able to write it")
}

func TestFetchRefuses(t *testing.T) {
	directory := t.TempDir()
	for _, test := range []struct {
		name    string
		prepare func(path string)
		err     string
	}{
		{"a missing file", func(string) {}, "no such file or directory"},
		{"a directory", func(path string) { require.NoError(t, os.MkdirAll(path, 0o755)) },
			"is not a regular file"},
		{"a file that others may write", func(path string) {
			require.NoError(t, os.Chmod(write(t, path), 0o646))
		}, "has mode 0646: group and others must not be able to write it (chmod go-w "},
		{"a file that the group may write", func(path string) {
			require.NoError(t, os.Chmod(write(t, path), 0o664))
		}, "has mode 0664"},
		{"a directory that others may write", func(path string) {
			require.NoError(t, os.Chmod(filepath.Dir(write(t, path)), 0o757))
		}, "has mode 0757"},
		{"a large file", func(path string) {
			write(t, path)
			require.NoError(t, os.Truncate(path, 11))
		}, "limit exceeded: 11 bytes of module, at most 10 are allowed: raise limits.moduleSize"},
		{"a dangling link", func(path string) {
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.Symlink("nowhere", path))
		}, "no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(directory, filepath.Base(t.Name()), "policy.wasm")
			test.prepare(path)
			fetcher := module.Fetcher{MaxBytes: 10}
			_, err := fetcher.Fetch(t.Context(), "file://"+path)
			require.ErrorContains(t, err, test.err)
		})
	}
	for uri, text := range map[string]string{
		"file://relative":              `"relative" is not an absolute path`,
		"registry://example.com/x:v1":  "registry://example.com/x:v1 is not supported here",
		"file:///\x00":                 "invalid argument",
		"/etc/kubernetes/policies/one": "is not supported here",
	} {
		fetcher := module.Fetcher{MaxBytes: 10}
		_, err := fetcher.Fetch(t.Context(), uri)
		require.ErrorContains(t, err, text, uri)
	}
}

// Opening a FIFO that nobody writes to would block forever.
func TestFetchRefusesSpecialFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	fetcher := module.Fetcher{MaxBytes: 10}
	_, err := fetcher.Fetch(t.Context(), "file://"+path)
	require.ErrorContains(t, err, "is not a regular file")
}
