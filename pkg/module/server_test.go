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
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/module"
)

// serve starts a web server with TLS. It returns the server, its host, and sources that trust it.
func serve(t testing.TB, handler http.HandlerFunc) (*httptest.Server, string, module.Sources) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // for handshakes that fail as expected
	server.StartTLS()
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	ca := writeFile(t,
		string(pem.EncodeToMemory(&pem.Block{
			Type:  "CERTIFICATE",
			Bytes: server.Certificate().Raw,
		})))
	return server, host, module.Sources{
		Authorities: []module.Authority{{Host: host, Files: []string{ca}}},
	}
}

func TestServer(t *testing.T) {
	bytes, digest := wasm("one")
	_, host, sources := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/one.wasm":
			_, _ = w.Write(bytes)
		case "/signed":
			if r.URL.Query().Get("signature") != "secret" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = w.Write(bytes)
		case "/page":
			_, _ = w.Write([]byte("<html>not found</html>"))
		case "/partial":
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(bytes)
		case "/large":
			w.Header().Set("Content-Length", "1025")
			_, _ = w.Write(append(bytes, make([]byte, 1025-len(bytes))...))
		case "/endless":
			forever(w)
		case "/cut":
			w.Header().Set("Content-Length", "20")
			_, _ = w.Write(bytes)
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	uri := "https://" + host
	f := newFetcher(t, module.Options{Sources: sources})
	for _, path := range []string{"/one.wasm", "/signed?signature=secret"} {
		got, err := f.Fetch(t.Context(), uri+path)
		require.NoError(t, err)
		require.Equal(t, &module.Module{Bytes: bytes, Digest: digest}, got)
	}
	for path, want := range map[string]struct {
		cause module.Cause
		text  string
	}{
		"/two.wasm": {module.CauseNotFound, "answered 404 Not Found"},
		"/signed?signature=secre_": {module.CauseUnauthorized,
			uri + "/signed?…: answered 403 Forbidden"},
		"/page":              {module.CauseMediaType, `begins with "<htm"`},
		"/partial":           {module.CauseAnswer, "answered 206"},
		"/large":             {module.CauseTooLarge, "1025 bytes of module, at most 1024"},
		"/endless":           {module.CauseTooLarge, "1025 bytes of module, at most 1024"},
		"/cut":               {module.CauseUnreachable, "after 11 bytes"},
		"/down":              {module.CauseUnreachable, "answered 503"},
		"/one.wasm#fragment": {module.CauseInvalid, "fragment"},
	} {
		_, err := f.Fetch(t.Context(), uri+path)
		require.Equal(t, want.cause, module.CauseOf(err), "%s: %v", path, err)
		require.ErrorContains(t, err, want.text)
		require.NotContains(t, err.Error(), "secre_")
	}
	_, err := newFetcher(t, module.Options{}).Fetch(t.Context(), uri+"/one.wasm")
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err))
	_, err = newFetcher(t, module.Options{Sources: module.Sources{Insecure: []string{host}}}).
		Fetch(t.Context(), uri+"/one.wasm")
	require.NoError(t, err)
	for uri, text := range map[string]string{
		"http://" + host + "/one.wasm":                      "would be contacted without TLS",
		"https://user:secret@" + host + "/one.wasm":         "contains credentials",
		"https:///one.wasm":                                 "has no host",
		"https://us\x7fer:secret@" + host:                   "cannot be parsed",
		"oci://" + host + "/one":                            "begins with none of",
		host + "/one":                                       "begins with none of",
		"https://" + host + "/" + strings.Repeat("a", 4096): "longer than 4096 bytes",
	} {
		_, err := f.Fetch(t.Context(), uri)
		require.Equal(t, module.CauseInvalid, module.CauseOf(err))
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestPlainServer(t *testing.T) {
	bytes, _ := wasm("one")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes)
	}))
	defer server.Close()
	f := newFetcher(t, module.Options{
		Sources: module.Sources{Insecure: []string{strings.TrimPrefix(server.URL, "http://")}},
	})
	got, err := f.Fetch(t.Context(), server.URL+"/one.wasm")
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)
	_, err = f.Fetch(t.Context(), "https"+strings.TrimPrefix(server.URL, "http")+"/one.wasm")
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err),
		"https:// requires TLS even for insecure hosts")
}

func TestServerRedirects(t *testing.T) {
	bytes, _ := wasm("one")
	_, elsewhere, trustElsewhere := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes)
	})
	target := "https://" + elsewhere + "/x?signature=secret"
	_, host, sources := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target, http.StatusFound)
	})
	uri := "https://" + host + "/one.wasm"
	both := sources
	both.Authorities = append(both.Authorities, trustElsewhere.Authorities...)
	got, err := newFetcher(t, module.Options{Sources: both}).Fetch(t.Context(), uri)
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)

	_, err = newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err), "authorities apply to one host")
	require.NotContains(t, err.Error(), "secret")

	sources.Insecure = []string{elsewhere}
	for url, text := range map[string]string{
		target:                            "redirects to insecure host",
		"http://" + elsewhere + "/x":      "redirects from https to http",
		"file:///etc/passwd":              "redirects from https to file",
		uri:                               "redirects more than 5 times",
		"https://a:secret@" + host + "/x": "redirects with credentials",
	} {
		target = url
		_, err := newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), uri)
		require.Equal(t, module.CauseAnswer, module.CauseOf(err), "%v", err)
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestStoredModulesOfServers(t *testing.T) {
	bytes, digest := wasm("one")
	sent, tag := 0, `"one"`
	server, host, sources := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		w.Header().Set("ETag", tag)
		_, _ = w.Write(bytes)
	})
	uri := "https://" + host + "/one.wasm"
	store, directory := newStore(t)
	f := newFetcher(t, module.Options{Sources: sources, Store: store})
	var have *module.Module
	for range 2 {
		got, err := f.Fetch(t.Context(), uri)
		require.NoError(t, err)
		require.Equal(t, &module.Module{Bytes: bytes, Digest: digest, Revision: tag}, got)
		have = got
	}
	require.Equal(t, 1, sent)
	got, err := f.Get(t.Context(), module.Request{URI: uri, Have: have})
	require.NoError(t, err)
	require.Same(t, have, got)

	bytes, _ = wasm("two")
	tag = `W/"weak"` // does not stand for the exact bytes
	for n := range 2 {
		got, err := f.Get(t.Context(), module.Request{URI: uri, Have: have})
		require.NoError(t, err)
		require.Equal(t, bytes, got.Bytes)
		require.Empty(t, got.Revision)
		require.Equal(t, 2+n, sent)
	}
	v := &verifier{identity: "one", refuse: errors.New("not from a registry")}
	_, err = newFetcher(t, module.Options{Sources: sources, Store: store, Verifier: v}).
		Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	require.Len(t, v.asked, 1)

	server.Close()
	store, err = module.OpenStore(directory)
	require.NoError(t, err)
	f = newFetcher(t, module.Options{Sources: sources, Store: store})
	ctx, log := logged(t)
	got, err = f.Fetch(ctx, uri)
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)
	require.Contains(t, log(), "using what it served last")
	before := log()
	got, err = f.Get(ctx, module.Request{URI: "https://other.example.com/x", Digest: digest})
	require.NoError(t, err, "a module named by its digest may come from anywhere")
	require.Equal(t, digest, got.Digest)
	require.Equal(t, before, log())
	_, err = newFetcher(t, module.Options{Sources: sources, Store: store, Verifier: v}).
		Fetch(ctx, uri)
	require.Equal(t, module.CauseUnreachable, module.CauseOf(err),
		"an unverified module is not used instead")
	_, err = f.Fetch(ctx, "https://"+host+"/two.wasm")
	require.Equal(t, module.CauseUnreachable, module.CauseOf(err))
}

func TestMirrorOfServer(t *testing.T) {
	bytes, _ := wasm("one")
	_, host, sources := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/copy/one.wasm" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(bytes)
	})
	sources.Mirrors = []module.Mirror{{
		Prefix: "https://example.com/policies/", Replacement: "https://" + host + "/copy/",
	}}
	got, err := newFetcher(t, module.Options{Sources: sources}).
		Fetch(t.Context(), "https://example.com/policies/one.wasm")
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)
}

func TestStoreReadsNothingThatIsDamaged(t *testing.T) {
	bytes, digest := wasm("one")
	sent := 0
	_, host, sources := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"one"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		_, _ = w.Write(bytes)
	})
	uri := "https://" + host + "/one.wasm"
	store, directory := newStore(t)
	f := newFetcher(t, module.Options{Sources: sources, Store: store})
	_, err := f.Fetch(t.Context(), uri)
	require.NoError(t, err)
	path := filepath.Join(directory, "sha256", strings.TrimPrefix(digest, "sha256:")+".wasm")
	entries, err := filepath.Glob(filepath.Join(directory, "index", "*"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	fine, err := os.ReadFile(entries[0])
	require.NoError(t, err)
	change := func(path string, content []byte) func() {
		return func() { require.NoError(t, os.WriteFile(path, content, 0o600)) }
	}
	for name, damage := range map[string]func(){
		"module changed":        change(path, append([]byte("\x00asm\x01\x00\x00\x00"), "two"...)),
		"module emptied":        change(path, nil),
		"module longer":         change(path, append(bytes, 0)),
		"module too large":      change(path, make([]byte, maxBytes+1)),
		"module open to others": func() { require.NoError(t, os.Chmod(path, 0o644)) },
		"module linked": func() {
			require.NoError(t, os.Rename(path, path+"-moved"))
			require.NoError(t, os.Symlink(path+"-moved", path))
		},
		"module gone": func() { require.NoError(t, os.Remove(path)) },
		"entry changed": change(entries[0],
			[]byte(strings.Replace(string(fine), "one.wasm", "two.wasm", 1))),
		"entry cut":       change(entries[0], fine[:len(fine)/2]),
		"entry reordered": change(entries[0], append(fine, ' ')),
		"entry of another format": change(entries[0],
			[]byte(strings.Replace(string(fine), "modules/2", "modules/1", 1))),
		"entry without digest": change(entries[0],
			[]byte(strings.Replace(string(fine), "sha256:", "sha256-", 1))),
		"entry too large": change(entries[0], make([]byte, 64<<10+1)),
		"entry gone":      func() { require.NoError(t, os.Remove(entries[0])) },
	} {
		before := sent
		damage()
		got, err := f.Fetch(t.Context(), uri)
		require.NoError(t, err, name)
		require.Equal(t, bytes, got.Bytes)
		require.Equal(t, before+1, sent, "%s: it is fetched again", name)
		_, err = f.Fetch(t.Context(), uri)
		require.NoError(t, err)
		require.Equal(t, before+1, sent, "%s: and stored again", name)
	}
}
