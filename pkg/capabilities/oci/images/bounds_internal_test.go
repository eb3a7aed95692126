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

package images

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/module"
)

func TestALookIsBoundedInRequestsAndBytes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("0123456789"))
	}))
	defer server.Close()
	named, err := parseHosts("", []string{strings.TrimPrefix(server.URL, "http://")})
	require.NoError(t, err)
	client := http.Client{Transport: &fence{named: named, next: http.DefaultTransport}}
	get := func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL,
			strings.NewReader("body"))
		require.NoError(t, err)
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { require.NoError(t, response.Body.Close()) }()
		_, err = io.ReadAll(response.Body)
		return err
	}
	ctx := withBudget(t.Context(), 2, 1000)
	require.NoError(t, get(ctx))
	require.NoError(t, get(ctx))
	require.ErrorContains(t, get(ctx), "the lookup takes more than 512 requests")
	ctx = withBudget(t.Context(), 100, 15)
	require.NoError(t, get(ctx))
	require.ErrorContains(t, get(ctx), "the lookup takes more than 67108864 bytes")
	require.ErrorContains(t, get(t.Context()), "requests", "what is no look asks nothing")
}

// hostile is a registry that serves the given documents unchanged, by repository name.
func hostile(t *testing.T, documents map[string]string, mediaType string) *Images {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := strings.Cut(r.URL.Path, "/v2/")
		name, rest, _ := strings.Cut(path, "/")
		if blob, ok := strings.CutPrefix(rest, "blobs/"); ok {
			name = blob
		} else {
			w.Header().Set("Docker-Content-Digest", digest.FromString(documents[name]).String())
		}
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.Itoa(len(documents[name])))
		_, _ = io.WriteString(w, documents[name])
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	i, err := New(Options{
		Registries: []string{host},
		Sources:    module.Sources{Insecure: []string{host}},
	})
	require.NoError(t, err)
	documents["host"] = host
	return i
}

func TestDocumentsThatAreRefused(t *testing.T) {
	const image, index = "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.oci.image.index.v1+json"
	large := strings.Repeat(" ", maxDocumentBytes)
	sum := func(s string) string { return digest.FromString(s).String() }
	withConfig := func(d string, size int) string {
		return fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q,"size":%d},"layers":[]}`, d,
			size)
	}
	forHere := func(d string) string {
		return fmt.Sprintf(
			`{"schemaVersion":2,"manifests":[{"digest":%q,"platform":{"os":%q,"architecture":%q}}]}`,
			d, runtime.GOOS, runtime.GOARCH)
	}
	for _, test := range []struct {
		name, mediaType, manifest string
		blobs                     map[string]string
		err                       string
	}{
		{"large manifest", image, withConfig(sum("{}"), 2) + large, nil,
			"the manifest is larger than 4194304 bytes"},
		{"large configuration", image, withConfig(sum("{"+large+"}"), len(large)+2),
			map[string]string{sum("{" + large + "}"): "{" + large + "}"},
			"the configuration is larger than 4194304 bytes"},
		{"manifest of many parts", image,
			`{"layers":[{}` + strings.Repeat(",{}", jsonparts.MaxManifest/2) + `]}`, nil,
			"it has more than 50000 parts"},
		{"index of many parts", index,
			`{"manifests":[{}` + strings.Repeat(",{}", jsonparts.MaxManifest/2) + `]}`, nil,
			"it has more than 50000 parts"},
		{"another configuration", image, withConfig(sum("{}"), 3),
			map[string]string{sum("{}"): `{ }`}, "the configuration does not have digest"},
		{"configuration that is no JSON", image, withConfig(sum("no"), 2),
			map[string]string{sum("no"): "no"}, "the configuration is not JSON"},
		{"configuration without digest", image, withConfig("../../x", 2), nil,
			"only SHA-256 is supported"},
		{"another media type", "text/html", withConfig(sum("{}"), 2), nil,
			"which is neither of an image nor of an index"},
		{"no JSON", image, "no", nil, "the manifest cannot be read"},
		{"an image that is an index", image, forHere(sum("")), nil, "and is something else"},
		{"an index that is an image", index, withConfig(sum("{}"), 2), nil,
			"and is something else"},
		{"both", image, `{"config":{},"manifests":[]}`, nil, "and is something else"},
		{"names itself otherwise", image, `{"mediaType":"` + index + `","config":{}}`, nil,
			"and is something else"},
		{"names in other cases", image, `{"CONFIG":{}}`, nil, "and is something else"},
		{"no image for this platform", index,
			`{"manifests":[{"digest":"x"},{"digest":"x","platform":{"os":"plan9","architecture":"mips"}}]}`,
			nil, "the index has no image for " + runtime.GOOS + "/" + runtime.GOARCH},
		{"image without digest", index, forHere("latest"), nil,
			"the index names an image by digest"},
		{"another image", index, forHere(sum("another")), nil, "digest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			documents := map[string]string{"app": test.manifest}
			for digest, content := range test.blobs {
				documents[digest] = content
			}
			i := hostile(t, documents, test.mediaType)
			_, err := i.Ask(t.Context(), &capabilities.Caller{}, oci.ManifestAndConfig,
				documents["host"]+"/app:v1", []byte(`""`))
			require.ErrorContains(t, err, test.err)
		})
	}
}
