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
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// hostile is a registry with one policy, at one:v1, that answers as configured. It counts requests.
type hostile struct {
	host, uri      string
	wasm           []byte
	manifest       []byte
	manifestDigest string

	// onManifest and onBlob replace the correct answers if set.
	onManifest, onBlob http.HandlerFunc

	mu    sync.Mutex
	asked []string
}

func newHostile(t testing.TB, change func(*ocispec.Manifest)) *hostile {
	h := &hostile{}
	h.wasm, _ = wasm("one")
	m := registry.Manifest(ocispec.Descriptor{
		MediaType: registry.LayerMediaType,
		Digest:    digest.FromBytes(h.wasm),
		Size:      int64(len(h.wasm)),
	})
	if change != nil {
		change(&m)
	}
	var err error
	h.manifest, err = json.Marshal(m)
	require.NoError(t, err)
	sum := sha256.Sum256(h.manifest)
	h.manifestDigest = "sha256:" + hex.EncodeToString(sum[:])
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.host = strings.TrimPrefix(server.URL, "http://")
	h.uri = "registry://" + h.host + "/one"
	return h
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked = append(h.asked, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v2/one/"))
	h.mu.Unlock()
	isManifest := strings.Contains(r.URL.Path, "/manifests/")
	switch {
	case isManifest && h.onManifest != nil:
		h.onManifest(w, r)
	case isManifest:
		h.sendManifest(w, h.manifestDigest)
	case h.onBlob != nil:
		h.onBlob(w, r)
	default:
		_, _ = w.Write(h.wasm)
	}
}

func (h *hostile) sendManifest(w http.ResponseWriter, digest string) {
	w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	if digest != "" {
		w.Header().Set("Docker-Content-Digest", digest)
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(h.manifest)))
	_, _ = w.Write(h.manifest)
}

func (h *hostile) count(prefix string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.asked {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (h *hostile) fetch(t testing.TB, reference string) (*module.Module, error) {
	store, _ := newStore(t)
	return newFetcher(t, module.Options{
		Store:   store,
		Sources: module.Sources{Insecure: []string{h.host}},
	}).Fetch(t.Context(), h.uri+reference)
}

func TestRegistriesThatLieAboutManifests(t *testing.T) {
	_, other := wasm("other")
	for name, test := range map[string]struct {
		answer func(h *hostile) http.HandlerFunc
		cause  map[string]module.Cause // by reference; "" is none
	}{
		"another manifest, without a word": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) { h.sendManifest(w, "") }
			},
			map[string]module.Cause{":v1": "", "@" + other: module.CauseDigest},
		},
		"another manifest under the name that was asked for": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) { h.sendManifest(w, other) }
			},
			map[string]module.Cause{":v1": module.CauseDigest, "@" + other: module.CauseDigest},
		},
		"another name than was asked for": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					h.sendManifest(w, h.manifestDigest)
				}
			},
			map[string]module.Cause{":v1": "", "@" + other: module.CauseDigest},
		},
		"no digest": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) { h.sendManifest(w, "none") }
			},
			map[string]module.Cause{":v1": module.CauseAnswer},
		},
		"another algorithm": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, _ *http.Request) {
					h.sendManifest(w, "sha512:"+strings.Repeat("0a", 64))
				}
			},
			map[string]module.Cause{":v1": module.CauseAnswer},
		},
		"no HEAD": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodHead {
						w.WriteHeader(http.StatusMethodNotAllowed)
						return
					}
					h.sendManifest(w, h.manifestDigest)
				}
			},
			map[string]module.Cause{":v1": ""},
		},
		"a manifest without end": {
			func(h *hostile) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
					w.Header().Set("Docker-Content-Digest", h.manifestDigest)
					if r.Method == http.MethodHead {
						w.Header().Set("Content-Length", "100")
						return
					}
					forever(w)
				}
			},
			map[string]module.Cause{":v1": module.CauseAnswer},
		},
		"a manifest that is no JSON": {
			func(h *hostile) http.HandlerFunc {
				h.manifest = []byte("<html>")
				return func(w http.ResponseWriter, _ *http.Request) { h.sendManifest(w, "") }
			},
			map[string]module.Cause{":v1": module.CauseAnswer},
		},
		"an index that passes for a manifest": {
			func(h *hostile) http.HandlerFunc {
				h.manifest = append([]byte(`{"manifests":[],`), h.manifest[1:]...)
				return func(w http.ResponseWriter, _ *http.Request) { h.sendManifest(w, "") }
			},
			map[string]module.Cause{":v1": module.CauseMediaType},
		},
	} {
		for reference, cause := range test.cause {
			h := newHostile(t, nil)
			h.onManifest = test.answer(h)
			got, err := h.fetch(t, reference)
			if cause == "" {
				require.NoError(t, err, name)
				require.Equal(t, h.wasm, got.Bytes)
				continue
			}
			require.Equal(t, cause, module.CauseOf(err), "%s: %v", name, err)
		}
	}
}

// forever sends until the client disconnects.
func forever(w io.Writer) {
	for {
		if _, err := w.Write(make([]byte, 1<<10)); err != nil {
			return
		}
	}
}

func TestRegistriesThatLieAboutModules(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*ocispec.Manifest)
		answer func(h *hostile, w http.ResponseWriter)
		cause  module.Cause
		text   string
		blobs  int // how often the blob is requested
	}{
		"another module": {
			answer: func(h *hostile, w http.ResponseWriter) {
				_, _ = w.Write([]byte("\x00asm\x01\x00\x00\x00two"))
			},
			cause: module.CauseDigest, text: "module has digest", blobs: 1,
		},
		"longer than announced": {
			answer: func(h *hostile, w http.ResponseWriter) { _, _ = w.Write(append(h.wasm, 0)) },
			cause:  module.CauseAnswer, text: "Content-Length", blobs: 1,
		},
		"without end": {
			answer: func(_ *hostile, w http.ResponseWriter) { forever(w) },
			cause:  module.CauseAnswer, text: "sends more than the 11 bytes", blobs: 1,
		},
		"cut off": {
			answer: func(h *hostile, w http.ResponseWriter) {
				w.Header().Set("Content-Length", fmt.Sprint(len(h.wasm)))
				_, _ = w.Write(h.wasm[:9])
			},
			cause: module.CauseUnreachable, text: "after 9 bytes of module", blobs: 2,
		},
		"cut off without a length": {
			answer: func(h *hostile, w http.ResponseWriter) {
				_, _ = w.Write(h.wasm[:9])
				w.(http.Flusher).Flush()
			},
			cause: module.CauseUnreachable, text: "sent only 9 of 11 bytes", blobs: 2,
		},
		"announced as huge": {
			change: func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 62 },
			cause:  module.CauseTooLarge, text: "4611686018427387904 bytes of module", blobs: 0,
		},
		"announced as one byte more than allowed": {
			change: func(m *ocispec.Manifest) { m.Layers[0].Size = maxBytes + 1 },
			cause:  module.CauseTooLarge, text: "1025 bytes of module, at most 1024", blobs: 0,
		},
		"announced as nothing": {
			change: func(m *ocispec.Manifest) { m.Layers[0].Size = 0 },
			cause:  module.CauseAnswer, text: "has 0 bytes", blobs: 0,
		},
		"named by another algorithm": {
			change: func(m *ocispec.Manifest) { m.Layers[0].Digest = digest.SHA512.FromString("") },
			cause:  module.CauseAnswer, text: "only SHA-256", blobs: 0,
		},
		"named by a path": {
			change: func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha256:../../etc/passwd" },
			cause:  module.CauseAnswer, text: "only SHA-256", blobs: 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t, test.change)
			if test.answer != nil {
				h.onBlob = func(w http.ResponseWriter, _ *http.Request) { test.answer(h, w) }
			}
			_, err := h.fetch(t, ":v1")
			require.Equal(t, test.cause, module.CauseOf(err), "%v", err)
			require.ErrorContains(t, err, test.text)
			require.Equal(t, test.blobs, h.count("GET blobs/"))
		})
	}
}

func TestTransientFailuresAreRetried(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503} {
		h := newHostile(t, nil)
		failures := 1
		h.onBlob = func(w http.ResponseWriter, _ *http.Request) {
			if failures--; failures >= 0 {
				w.WriteHeader(status)
				_, _ =
					w.Write([]byte(`{"errors":[{"code":"TOOMANYREQUESTS","message":"` +
						strings.Repeat("x", 1000) + `"}]}`))
				return
			}
			_, _ = w.Write(h.wasm)
		}
		got, err := h.fetch(t, ":v1")
		require.NoError(t, err)
		require.Equal(t, h.wasm, got.Bytes)

		failures = 2 // as many as there are attempts
		_, err = h.fetch(t, ":v1")
		require.Equal(t, module.CauseUnreachable, module.CauseOf(err))
		require.ErrorContains(t, err, fmt.Sprintf("answered %d ", status))
		require.ErrorContains(t, err, "toomanyrequests")
		require.Less(t, len(err.Error()), 500, "a registry's message is bounded")
	}
	for _, status := range []int{400, 401, 403, 404, 418} {
		h := newHostile(t, nil)
		h.onBlob = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		_, err := h.fetch(t, ":v1")
		require.Error(t, err)
		require.Equal(t, 1, h.count("GET blobs/"), "%d is an answer", status)
	}
}

// hang answers when the client disconnects.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestSlowRegistriesAreGivenUp(t *testing.T) {
	h := newHostile(t, nil)
	h.onBlob = hang
	f := newFetcher(t, module.Options{
		Sources: module.Sources{Insecure: []string{h.host}, Timeout: 100 * time.Millisecond},
	})
	_, err := f.Fetch(t.Context(), h.uri+":v1")
	require.Equal(t, module.CauseUnreachable, module.CauseOf(err))
	require.ErrorContains(t, err, "not done within 100ms (sources.timeout)")

	// The same holds for a caller that gives up first.
	ctx, cancel := context.WithCancel(t.Context())
	h = newHostile(t, nil)
	h.onBlob = func(w http.ResponseWriter, r *http.Request) {
		cancel()
		hang(w, r)
	}
	f = newFetcher(t, module.Options{Sources: module.Sources{Insecure: []string{h.host}}})
	_, err = f.Fetch(ctx, h.uri+":v1")
	require.ErrorIs(t, err, context.Canceled)
}

func TestWhatTakesLongIsLogged(t *testing.T) {
	h := newHostile(t, nil)
	ctx, log := logged(t)
	h.onBlob = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(h.wasm)))
		_, _ = w.Write(h.wasm[:5])
		w.(http.Flusher).Flush()
		for !strings.Contains(log(), `"bytes"=5 "of"=11`) && ctx.Err() == nil {
			time.Sleep(time.Millisecond) // a ticker writes the log
		}
		_, _ = w.Write(h.wasm[5:])
	}
	f :=
		module.Hurry(newFetcher(t,
			module.Options{Sources: module.Sources{Insecure: []string{h.host}}}), time.Millisecond)
	_, err := f.Fetch(ctx, h.uri+":v1")
	require.NoError(t, err)
	require.Contains(t, log(), "Still fetching a module")
	require.Contains(t, log(), `"uri"="`+h.uri+`:v1"`)
}

// Progress is reported, whatever length the source announces.
func TestProgressIsTold(t *testing.T) {
	h := newHostile(t, nil)
	var told [][2]int64
	f := newFetcher(t, module.Options{
		Sources:  module.Sources{Insecure: []string{h.host}},
		Progress: func(bytes, total int64) { told = append(told, [2]int64{bytes, total}) },
	})
	_, err := f.Fetch(t.Context(), h.uri+":v1")
	require.NoError(t, err)
	size := int64(len(h.wasm))
	require.Equal(t, [2]int64{0, size}, told[0])
	require.Equal(t, [2]int64{size, size}, told[len(told)-1])
}

func TestRegistryRedirects(t *testing.T) {
	h, elsewhere := newHostile(t, nil), newHostile(t, nil)
	credentials := writeFile(t, dockerConfig(h.host, "user:pass"))
	var seen http.Header
	elsewhere.onBlob = func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		_, _ = w.Write(elsewhere.wasm)
	}
	target := "http://" + elsewhere.host + "/v2/one/blobs/x?signature=secret"
	h.onBlob = func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, target, http.StatusTemporaryRedirect)
	}
	fetch := func(insecure ...string) error {
		f := newFetcher(t,
			module.Options{Sources: module.Sources{Insecure: insecure, DockerConfig: credentials}})
		_, err := f.Fetch(t.Context(), h.uri+":v1")
		return err
	}
	require.NoError(t, fetch(h.host, elsewhere.host))
	require.Empty(t, seen.Get("Authorization"), "credentials go only to their host")

	err := fetch(h.host)
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err), "%v", err)
	for url, text := range map[string]string{
		"https://" + elsewhere.host + "/x":   "redirects from http to https",
		"ftp://" + elsewhere.host + "/x":     "redirects from http to ftp",
		"http://a:b@" + elsewhere.host + "/": "redirects with credentials",
		"http://" + h.host + "/v2/one/blobs": "redirects more than 5 times",
	} {
		target = url
		err := fetch(h.host, elsewhere.host)
		require.Equal(t, module.CauseAnswer, module.CauseOf(err), "%v", err)
		require.ErrorContains(t, err, text)
	}

	// Errors from the target must not show the signature.
	target = "http://" + elsewhere.host + "/v2/one/blobs/x?signature=secret"
	for _, answer := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(elsewhere.wasm, 0)) },
		func(w http.ResponseWriter, _ *http.Request) {
			connection, _, _ := w.(http.Hijacker).Hijack()
			_ = connection.Close()
		},
	} {
		elsewhere.onBlob = answer
		err := fetch(h.host, elsewhere.host)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
	}
}

// A registry can redirect clients for a token. It must not redirect them to a host that would see
// the credentials in plain text, unless that is allowed.
func TestTokensAreFetchedFromSafePlacesOnly(t *testing.T) {
	h := newHostile(t, nil)
	asked := 0
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, password, _ := r.BasicAuth()
		_, _ = fmt.Fprintf(w, `{"token":"token of %s:%s"}`, user, password)
	}))
	defer tokens.Close()
	h.onManifest = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token of user:pass" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+tokens.URL+`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.sendManifest(w, h.manifestDigest)
	}
	sources := module.Sources{
		Insecure:     []string{h.host},
		DockerConfig: writeFile(t, dockerConfig(h.host, "user:pass")),
	}
	_, err := newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), h.uri+":v1")
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err))
	require.Zero(t, asked)
	sources.Insecure = append(sources.Insecure, strings.TrimPrefix(tokens.URL, "http://"))
	_, err = newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), h.uri+":v1")
	require.NoError(t, err)
	require.Positive(t, asked)
}
