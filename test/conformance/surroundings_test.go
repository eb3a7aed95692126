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

package conformance

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

const root = "../.."

// surroundings are the servers and files that wasmctl uses. See [Wasmctl].
type surroundings struct {
	wasmctl, cache string
	// names are the placeholders in texts and their values.
	names []string
	proxy *proxy
}

func newSurroundings(t *testing.T) *surroundings {
	t.Helper()
	require.FileExists(t, filepath.Join(root, "bin/checklist/wapc.wasm"),
		"run make checklist-guests")
	w := &surroundings{wasmctl: filepath.Join(t.TempDir(), "wasmctl"), cache: t.TempDir()}
	out, err := exec.Command("go", "build", "-o", w.wasmctl, root+"/cmd/wasmctl").CombinedOutput()
	require.NoError(t, err, "%s", out)
	absolute, err := filepath.Abs(root)
	require.NoError(t, err)
	policy, err := os.ReadFile(filepath.Join(root, "test/policies/pod-privileged/policy.wasm"))
	require.NoError(t, err)

	open := registry.Start(t, registry.Options{})
	secure := registry.Start(t, registry.Options{TLS: true, Username: "alice", Password: "secret"})
	for _, r := range []*registry.Registry{open, secure} {
		r.Push(t, "policies/pod-privileged", "v1", policy)
		r.Push(t, "policies/pod-privileged", "latest", policy)
		r.Push(t, "policies/text", "v1", []byte("this is no module"))
	}
	pushImage(t, open)
	credentials := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t,
		os.WriteFile(credentials,
			[]byte(`{"auths":{"`+secure.Host+`":{"auth":"`+
				base64.StdEncoding.EncodeToString([]byte("alice:secret"))+`"}}}`), 0o600))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/policy.wasm" {
			_, _ = w.Write(policy)
			return
		}
		_, _ = io.WriteString(w, "this is no module")
	}))
	t.Cleanup(web.Close)
	w.proxy = newProxy(t, open.Host)
	modules := t.TempDir()
	require.NoError(t, os.Chmod(modules, 0o700))
	require.NoError(t, copyModules(modules))
	w.names = []string{
		"$ROOT", absolute, "$MODULES", "file://" + modules, "$REGISTRY", open.Host, "$SECURE",
		secure.Host, "$CA", secure.CA, "$DOCKER", filepath.Dir(credentials),
		"$WEBHOST", strings.TrimPrefix(web.URL, "http://"), "$WEB", web.URL, "$PROXY", w.proxy.url,
		"$DIGEST", strings.TrimPrefix(engine.Digest(policy), "sha256:")[:12],
		"$SIGNED", keyless.Publish(t, open, "signed", policy), "$LARGE", strings.Repeat("x", 3<<20),
	}
	return w
}

// pushImage pushes images/app:v1 to a registry. It is an index with an image for this platform.
func pushImage(t *testing.T, r *registry.Registry) {
	t.Helper()
	config := r.PushBlob(t, "images/app", ocispec.MediaTypeImageConfig,
		[]byte(`{"config":{"User":"65533:65533"}}`))
	image := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{},
	}
	image.SchemaVersion = 2
	content, err := json.Marshal(image)
	require.NoError(t, err)
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{{
		MediaType: image.MediaType,
		Digest:    digest.Digest(r.PushManifest(t, "images/app", "child", image)),
		Size:      int64(len(content)),
		Platform:  &ocispec.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH},
	}}}
	index.SchemaVersion = 2
	r.PushManifest(t, "images/app", "v1", index)
}

// expand returns a function that replaces placeholders in the texts of an item with the given
// directory.
func (w *surroundings) expand(directory string) func(string) string {
	return strings.NewReplacer(append([]string{"$DIR", directory}, w.names...)...).Replace
}

// proxy forwards all requests to one host, without TLS.
type proxy struct {
	url      string
	requests atomic.Int64
}

func newProxy(t *testing.T, host string) *proxy {
	t.Helper()
	p := &proxy{}
	onward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: host})
		r.Out.Host = host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.requests.Add(1)
		if r.Method == http.MethodConnect {
			http.Error(w, "tunnels are not supported", http.StatusForbidden)
			return
		}
		onward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}
