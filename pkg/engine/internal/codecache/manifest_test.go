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

package codecache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stored creates files and returns their manifest.
func stored(t testing.TB, key Key) (directory string, files []onDisk, encoded []byte) {
	t.Helper()
	directory = t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(directory, "d"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(directory, "d", "one"), []byte("1"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(directory, "two"), nil, 0o600))
	files, err := list(directory)
	require.NoError(t, err)
	m, err := newManifest(key, directory, files)
	require.NoError(t, err)
	encoded, err = m.encode()
	require.NoError(t, err)
	return directory, files, encoded
}

func TestNoBitOfAManifestMayChange(t *testing.T) {
	key := KeyOf(nil)
	directory, files, encoded := stored(t, key)
	m, err := parseManifest(encoded, key)
	require.NoError(t, err)
	require.NoError(t, m.match(directory, files))
	for i := range len(encoded) * 8 {
		encoded[i/8] ^= 1 << (i % 8)
		if m, err := parseManifest(encoded, key); err == nil {
			require.Error(t, m.match(directory, files), "bit %d of %q", i%8, encoded[i/8])
		}
		encoded[i/8] ^= 1 << (i % 8)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	key := KeyOf(nil)
	_, _, encoded := stored(t, key)
	valid := string(encoded)
	for _, test := range []struct{ name, manifest, err string }{
		{"nothing", "", "unexpected end of JSON input"},
		{"another format", strings.Replace(valid, "codecache/1", "codecache/2", 1),
			`has format "wasm-admission/codecache/2", not`},
		{"another key", strings.Replace(valid, key.String(), KeyOf(nil, "").String(), 1),
			"belongs to entry"},
		{"the key in capitals",
			strings.Replace(valid, key.String(), strings.ToUpper(key.String()), 1),
			"belongs to entry"},
		{"a field in capitals", strings.Replace(valid, `"files"`, `"FILES"`, 1),
			"not in canonical form"},
		{"an unknown field", strings.Replace(valid, "{", "{\n  \"more\": 1,", 1),
			"not in canonical form"},
		{"a doubled field", strings.Replace(valid, `  "key"`, `  "key": "",`+"\n"+`  "key"`, 1),
			"not in canonical form"},
		{"space", " " + valid, "not in canonical form"},
		{"a number with a fraction", strings.Replace(valid, `"size": 1`, `"size": 1.5`, 1),
			"cannot unmarshal"},
		{"something after it", valid + "{}", "invalid character"},
		{"too much of it", valid + strings.Repeat("\n", maxManifestBytes),
			"larger than 16384 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.NotEqual(t, valid, test.manifest)
			_, err := parseManifest([]byte(test.manifest), key)
			require.ErrorContains(t, err, test.err)
		})
	}
}

// The largest entry that list accepts has a readable manifest.
func TestManifestOfTheLargestEntry(t *testing.T) {
	m := &manifest{Format: manifestFormat, Key: KeyOf(nil).String()}
	for i := range maxFiles {
		m.Files = append(m.Files, manifestFile{
			Path:   fmt.Sprintf("wazero-v1.12.0-amd64-linux/%064x", i),
			Size:   1 << 62,
			SHA256: strings.Repeat("0", 64),
		})
	}
	b, err := m.encode()
	require.NoError(t, err)
	_, err = parseManifest(b, KeyOf(nil))
	require.NoError(t, err)
}

func FuzzParseManifest(f *testing.F) {
	key := KeyOf(nil)
	_, _, encoded := stored(f, key)
	f.Add(encoded)
	f.Add([]byte(`{"format":"` + manifestFormat + `","key":"` + key.String() + `","files":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b, key)
		if err != nil {
			return
		}
		again, err := m.encode()
		require.NoError(t, err)
		require.Equal(t, b, again)
		require.Error(t, m.match(t.TempDir(), []onDisk{{path: "none"}}))
	})
}
