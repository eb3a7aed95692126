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

package sources

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

func TestURI(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("policy.wasm", nil, 0o600))
	here, err := os.Getwd()
	require.NoError(t, err)
	uri, err := URI("policy.wasm")
	require.NoError(t, err)
	require.Equal(t, "file://"+here+"/policy.wasm", uri)
	uri, err = URI("registry://example.com/a:b")
	require.NoError(t, err)
	require.Equal(t, "registry://example.com/a:b", uri)
	_, err = URI("none.wasm")
	require.ErrorContains(t, err, "there is no file none.wasm: give a path or a URI")
	_, err = URI("deadbeef")
	require.ErrorContains(t, err, "Cannot find policy 'deadbeef'")
}

// Unlike a server's files, a user's files need not be protected from others.
func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.wasm")
	require.NoError(t, os.WriteFile(path, []byte("12345"), 0o600))
	require.NoError(t, os.Chmod(path, 0o666))
	f := NewFetcher(Options{MaxBytes: 5})
	m, err := f.Get(t.Context(), module.Request{URI: "file://" + path})
	require.NoError(t, err)
	require.Equal(t, "12345", string(m.Bytes))
	require.Equal(t, engine.Digest([]byte("12345")), m.Digest)

	_, err = f.Get(t.Context(), module.Request{URI: "file://" + path, Digest: "sha256:00"})
	require.ErrorAs(t, err, new(*module.DigestError))
	_, err = NewFetcher(Options{MaxBytes: 4}).
		Get(t.Context(), module.Request{URI: "file://" + path})
	require.ErrorAs(t, err, new(*engine.LimitError))
	_, err = f.Get(t.Context(), module.Request{URI: "file:///none"})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, f.Close())
}

// A web server is trusted if a sources.yml contains or names its certificate.
func TestSourcesFile(t *testing.T) {
	wasm := "\x00asm\x01\x00\x00\x00"
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(wasm))
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	der := filepath.Join(t.TempDir(), "ca.der")
	require.NoError(t, os.WriteFile(der, server.Certificate().Raw, 0o600))
	text :=
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n      ")
	for name, sources := range map[string]string{
		"in DER": "source_authorities: {'" + host + "': [{type: Path, path: " + der + "}]}",
		"in place": "source_authorities:\n  '" + host + "':\n  - type: Data\n    data: |\n      " +
			text + "\n",
		"insecure": "insecure_sources: ['" + host + "']",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sources.yml")
			require.NoError(t, os.WriteFile(path, []byte(sources), 0o600))
			f := NewFetcher(Options{
				MaxBytes:       100,
				SourcesPath:    path,
				StoreDirectory: filepath.Join(t.TempDir(), "store"),
			})
			m, err := f.Get(t.Context(), module.Request{URI: server.URL + "/policy.wasm"})
			require.NoError(t, err)
			require.Equal(t, wasm, string(m.Bytes))
			require.NoError(t, f.Close())
			require.NoDirExists(t, f.temporary)
		})
	}
	f := NewFetcher(Options{MaxBytes: 100})
	_, err := f.Get(t.Context(), module.Request{URI: server.URL + "/policy.wasm"})
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err))
	require.NoError(t, f.Close())
}

func TestSourcesFileRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, err string }{
		"unknown field": {"insecure: []", `unknown field "insecure"`},
		"unknown type": {"source_authorities: {a: [{type: File}]}",
			`source_authorities[a][0]: type is "File": write Path or Data`},
		"no file": {"source_authorities: {a: [{type: Path, path: /none}]}",
			"source_authorities[a][0]: stat /none"},
		"too large": {strings.Repeat("#", maxFileBytes+1), "at most 4194304 are read"},
	} {
		path := filepath.Join(t.TempDir(), "sources.yml")
		require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
		f := NewFetcher(Options{MaxBytes: 100, SourcesPath: path})
		_, err := f.Get(t.Context(), module.Request{URI: "https://example.com/policy.wasm"})
		require.ErrorContains(t, err, test.err, name)
		require.NoError(t, f.Close())
	}
}

func TestProxies(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		t.Setenv(name, "before")
	}
	path := filepath.Join(t.TempDir(), "sources.yml")
	require.NoError(t,
		os.WriteFile(path,
			[]byte("proxies: {https_proxy: 'http://proxy:3128', no_proxy: localhost}"), 0o600))
	_, err := readSources(path, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, []string{"before", "http://proxy:3128", "localhost"},
		[]string{os.Getenv("HTTP_PROXY"), os.Getenv("HTTPS_PROXY"), os.Getenv("NO_PROXY")})
}

// An unreadable default config.json is not an error.
func TestDockerConfig(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t,
		os.WriteFile(filepath.Join(directory, "config.json"), []byte(`{"credsStore":"desktop"}`),
			0o600))
	t.Setenv("DOCKER_CONFIG", directory)
	fetch := func(options Options) error {
		options.MaxBytes = 100
		f := NewFetcher(options)
		defer func() { require.NoError(t, f.Close()) }()
		_, err := f.Get(t.Context(), module.Request{URI: "registry://:no"})
		return err
	}
	require.NotContains(t, fetch(Options{}).Error(), "credential helpers")
	require.ErrorContains(t, fetch(Options{DockerConfigDirectory: directory}),
		"names credential helpers")
	t.Setenv("DOCKER_CONFIG", filepath.Join(directory, "none"))
	require.Equal(t, module.CauseInvalid, module.CauseOf(fetch(Options{})))
	require.ErrorContains(t, fetch(Options{DockerConfigDirectory: "/none"}), "no such file")
}

func FuzzReadSources(f *testing.F) {
	f.Add([]byte("insecure_sources: [a]\nsource_authorities: {a: [{type: Data, data: b}]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), "roxy") || strings.Contains(string(text), "Path") {
			t.Skip("it would change this process, or read any file")
		}
		directory := t.TempDir()
		path := filepath.Join(directory, "sources.yml")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		_, _ = readSources(path, directory)
	})
}
