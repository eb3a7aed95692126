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
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// A pushed module has the form that kwctl gives it, and can be fetched again.
func TestPush(t *testing.T) {
	open := registry.Start(t, registry.Options{})
	secure := registry.Start(t, registry.Options{TLS: true, Username: "alice", Password: "secret"})
	credentials := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t,
		os.WriteFile(credentials,
			[]byte(`{"auths":{"`+secure.Host+`":{"auth":"`+
				base64.StdEncoding.EncodeToString([]byte("alice:secret"))+`"}}}`), 0o600))
	binary, digest := wasm("pushed")
	for name, r := range map[string]*registry.Registry{
		"without TLS":      open,
		"with credentials": secure,
	} {
		t.Run(name, func(t *testing.T) {
			sources := trusting(r)
			sources.DockerConfig = credentials
			f := newFetcher(t, module.Options{Sources: sources})
			annotations := map[string]string{"io.kubewarden.policy.title": "<a & b>"}
			reference, err := f.Push(t.Context(), "registry://"+r.Host+"/policies/one:v1", binary,
				annotations)
			require.NoError(t, err)
			again, err := f.Push(t.Context(), "registry://"+r.Host+"/policies/one:v1", binary,
				annotations)
			require.NoError(t, err)
			require.Equal(t, reference, again)

			m, err := f.Fetch(t.Context(), "registry://"+reference)
			require.NoError(t, err)
			require.Equal(t, digest, m.Digest)
			require.Equal(t, r.Host+"/policies/one@"+m.Revision, reference)
			got, err := f.ManifestDigest(t.Context(), "registry://"+r.Host+"/policies/one:v1")
			require.NoError(t, err)
			require.Equal(t, m.Revision, got)

			descriptor, body, err := r.Repository(t, "policies/one").
				FetchReference(context.Background(), "v1")
			require.NoError(t, err)
			require.Equal(t, ocispec.MediaTypeImageManifest, descriptor.MediaType)
			manifest, err := io.ReadAll(body)
			require.NoError(t, err)
			require.NoError(t, body.Close())
			require.JSONEq(t, `{"schemaVersion":2,`+
				`"config":{"mediaType":"application/vnd.wasm.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},`+
				`"layers":[{"mediaType":"application/vnd.wasm.content.layer.v1+wasm","digest":"`+
				digest+`","size":14}],`+
				`"annotations":{"io.kubewarden.policy.title":"<a & b>"}}`, string(manifest))
			require.Contains(t, string(manifest), "<a & b>", "not escaped")
			require.Equal(t, got, engine.Digest(manifest))
		})
	}
	f := newFetcher(t, module.Options{Sources: trusting(secure)})
	_, err := f.Push(t.Context(), "registry://"+secure.Host+"/policies/one:v1", binary, nil)
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err))
	require.ErrorContains(t, err, "push registry://"+secure.Host+
		"/policies/one:v1: credentials are required")
	f = newFetcher(t, module.Options{})
	_, err = f.Push(t.Context(), "registry://"+open.Host+"/policies/one:v1", binary, nil)
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err),
		"only named hosts are contacted without TLS")
}

func TestUploadsAreTold(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true, Username: "alice", Password: "secret"})
	credentials := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t,
		os.WriteFile(credentials,
			[]byte(`{"auths":{"`+r.Host+`":{"auth":"`+
				base64.StdEncoding.EncodeToString([]byte("alice:secret"))+`"}}}`), 0o600))
	sources := trusting(r)
	sources.DockerConfig = credentials
	binary, _ := wasm("told")
	var told [][2]int64
	f := newFetcher(t, module.Options{
		Sources:  sources,
		Progress: func(bytes, total int64) { told = append(told, [2]int64{bytes, total}) },
	})
	reference, err := f.Push(t.Context(), "registry://"+r.Host+"/policies/told:v1", binary, nil)
	require.NoError(t, err)
	size := int64(len(binary))
	require.Equal(t, [2]int64{size, size}, told[len(told)-1])
	told = nil
	_, err = f.Push(t.Context(), "registry://"+r.Host+"/policies/told:v1", binary, nil)
	require.NoError(t, err)
	require.Empty(t, told, "existing blobs are not sent again")
	_, err = f.Fetch(t.Context(), "registry://"+reference)
	require.NoError(t, err)
}

func TestPushRefuses(t *testing.T) {
	binary, _ := wasm("refused")
	f := newFetcher(t, module.Options{})
	for name, test := range map[string]struct {
		uri    string
		binary []byte
		title  string
		err    string
	}{
		"no registry": {"https://example.com/policy.wasm", binary, "",
			"does not begin with registry://"},
		"a digest": {"registry://example.com/a@sha256:" + strings.Repeat("0", 64), binary, "",
			"name a tag"},
		"too long": {"registry://example.com/" + strings.Repeat("a", 5000), binary, "",
			"longer than 4096 bytes"},
		"no module": {"registry://example.com/a:v1", []byte("text"), "",
			"not a WebAssembly module"},
		"too large": {"registry://example.com/a:v1", append(binary, make([]byte, maxBytes)...),
			"", "bytes of module"},
		"annotations": {"registry://example.com/a:v1", binary, strings.Repeat("a", 1<<20),
			"shorten the annotations"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Push(t.Context(), test.uri, test.binary,
				map[string]string{"title": test.title})
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, "push ")
		})
	}
	_, err := (&module.Fetcher{MaxBytes: 1}).Push(t.Context(), "registry://example.com/a:v1", nil,
		nil)
	require.ErrorContains(t, err, "not supported here")
}

// If a registry refuses a push or redirects it, the error names the registry and quotes its
// message.
func TestPushToHostileRegistries(t *testing.T) {
	binary, _ := wasm("refused")
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		cause  module.Cause
		err    string
	}{
		"no": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}, module.CauseUnauthorized, "answered 403"},
		"not now": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		}, module.CauseUnreachable, "answered 500"},
		"elsewhere": {elsewhere, module.CauseAnswer, "different host"},
		"no status": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			module.CauseUnreachable, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			f := newFetcher(t, module.Options{Sources: module.Sources{Insecure: []string{host}}})
			_, err := f.Push(t.Context(), "registry://"+host+"/a:v1", binary, nil)
			require.Equal(t, test.cause, module.CauseOf(err), "%v", err)
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "token")
		})
	}
}

// elsewhere asks for blobs to be sent to another host.
func elsewhere(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Location", "http://other.example.com/upload?token=1")
	w.WriteHeader(http.StatusAccepted)
}

// The digest that a registry reports for a manifest does not count.
func TestManifestDigest(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	binary, _ := wasm("one")
	manifest := r.Push(t, "one", "latest", binary)
	f := newFetcher(t, module.Options{Sources: trusting(r)})
	for _, reference := range []string{"", ":latest", "@" + manifest} {
		got, err := f.ManifestDigest(t.Context(), "registry://"+r.Host+"/one"+reference)
		require.NoError(t, err, reference)
		require.Equal(t, manifest, got)
	}
	_, err := f.ManifestDigest(t.Context(), "registry://"+r.Host+"/one:v2")
	require.Equal(t, module.CauseNotFound, module.CauseOf(err))

	named := "sha256:" + strings.Repeat("0", 64)
	body, err := json.Marshal(registry.Manifest())
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", named)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	f = newFetcher(t, module.Options{Sources: module.Sources{Insecure: []string{host}}})
	got, err := f.ManifestDigest(t.Context(), "registry://"+host+"/one:v1")
	require.NoError(t, err)
	require.Equal(t, engine.Digest(body), got)
	_, err = f.ManifestDigest(t.Context(), "registry://"+host+"/one@"+named)
	require.Equal(t, module.CauseDigest, module.CauseOf(err))
}
