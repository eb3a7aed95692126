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

package discovery_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/discovery"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// signed returns a layer with a signature.
func signed(payload, signature string) registry.Layer {
	return registry.Layer{Payload: []byte(payload), Annotations: map[string]string{
		"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString([]byte(signature)),
	}}
}

// find returns the candidates, the skipped places, and the errors of places that could not be read.
func find(t *testing.T, source oras.ReadOnlyGraphTarget,
	manifest string) (found []*verification.Candidate, skipped []string, failed []error) {
	t.Helper()
	descriptor := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest,
		Digest:    digest.Digest(manifest),
		Size:      1,
	}
	for candidate, err := range discovery.Find(t.Context(), source, descriptor) {
		var s *verification.SkippedError
		switch {
		case errors.As(err, &s):
			skipped = append(skipped, s.Error())
		case err != nil:
			failed = append(failed, err)
		default:
			found = append(found, candidate)
		}
	}
	return found, skipped, failed
}

var kinds = map[string]registry.Options{
	"distribution":                         {},
	"go-containerregistry":                 {InMemory: true},
	"go-containerregistry, with referrers": {InMemory: true, Referrers: true},
}

func TestBothFormatsAreFound(t *testing.T) {
	for name, options := range kinds {
		t.Run(name, func(t *testing.T) {
			r := registry.Start(t, options)
			manifest := r.Push(t, "one", "v1", []byte("\x00asm"))
			found, skipped, failed := find(t, r.Repository(t, "one"), manifest)
			require.Empty(t, found)
			require.Empty(t, skipped)
			require.Empty(t, failed, "nothing there is no error")

			chained := signed("a", "3")
			chained.Annotations["dev.sigstore.cosign/certificate"] = "certificate"
			chained.Annotations["dev.sigstore.cosign/chain"] = "chain"
			chained.Annotations["dev.sigstore.cosign/bundle"] = "bundle"
			r.PushSignatures(t, "one", manifest, signed("a", "1"), signed("a", "2"), chained)
			bundles := []string{
				r.PushReferrer(t, "one", manifest, registry.BundleMediaType, []byte("one")),
				r.PushReferrer(t, "one", manifest,
					"application/vnd.dev.sigstore.bundle+json;version=0.2", []byte("two")),
			}
			r.PushReferrer(t, "one", manifest, "application/spdx+json", []byte("materials"))
			found, skipped, failed = find(t, r.Repository(t, "one"), manifest)
			require.Empty(t, failed)
			require.Empty(t, skipped, "what is none of ours is not spoken of")
			require.Len(t, found, 5, "each is found once")
			tag := registry.SignatureTag(manifest)
			for n, signature := range []string{"1", "2", "3"} {
				require.Equal(t, fmt.Sprintf("layer %d of %s", n, tag), found[n].Place,
					"layers with one digest are told apart")
				require.Equal(t, signature, string(found[n].Signature))
				require.Equal(t, "a", string(found[n].Payload))
			}
			require.Equal(t, "certificate", string(found[2].Certificate))
			require.Equal(t, "chain", string(found[2].Chain))
			require.Equal(t, "bundle", string(found[2].RekorBundle))
			content := map[string]string{}
			for _, candidate := range found[3:] {
				content[candidate.Place] = string(candidate.Bundle)
			}
			require.Equal(t, map[string]string{
				"referrer " + bundles[0]: "one",
				"referrer " + bundles[1]: "two",
			}, content)

			for _, err := range discovery.Find(t.Context(), r.Repository(t, "one"),
				ocispec.Descriptor{Digest: digest.Digest(manifest)}) {
				require.NoError(t, err)
				break // stops the iteration early
			}
		})
	}
}

// Only the fallback tag may list a bundle, if the registry gained the API later.
func TestTheFallbackTagIsReadBesideTheAPI(t *testing.T) {
	r := registry.Start(t, registry.Options{InMemory: true, Referrers: true})
	manifest := r.Push(t, "one", "v1", []byte("\x00asm"))
	known := r.PushReferrer(t, "one", manifest, registry.BundleMediaType, []byte("one"))
	var early ocispec.Manifest
	early.SchemaVersion, early.MediaType = 2, ocispec.MediaTypeImageManifest
	early.Config = r.PushBlob(t, "one", registry.BundleMediaType, []byte("{}"))
	early.Layers = []ocispec.Descriptor{
		r.PushBlob(t, "one", registry.BundleMediaType, []byte("two")),
	}
	earlier := r.PushManifest(t, "one", "any", early)
	content, err := json.Marshal(early)
	require.NoError(t, err)
	r.PushManifest(t, "one", strings.Replace(manifest, ":", "-", 1), ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(earlier),
			Size: int64(len(content)),
		}},
	})
	found, _, failed := find(t, r.Repository(t, "one"), manifest)
	require.Empty(t, failed)
	require.Len(t, found, 2)
	require.Equal(t, "referrer "+known, found[0].Place)
	require.Equal(t, "referrer "+earlier, found[1].Place)
}

// A layout on disk holds the same content as a registry.
func TestLayouts(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	manifest := r.Push(t, "one", "v1", []byte("\x00asm"))
	r.PushSignatures(t, "one", manifest, signed("a", "1"))
	r.PushReferrer(t, "one", manifest, registry.BundleMediaType, []byte("one"))
	layout, err := oci.New(t.TempDir())
	require.NoError(t, err)
	from := r.Repository(t, "one")
	_, err = oras.ExtendedCopy(t.Context(), from, manifest, layout, "",
		oras.DefaultExtendedCopyOptions)
	require.NoError(t, err)
	_, err = oras.Copy(t.Context(), from, registry.SignatureTag(manifest), layout, "",
		oras.DefaultCopyOptions)
	require.NoError(t, err)
	found, skipped, failed := find(t, layout, manifest)
	require.Empty(t, skipped)
	require.Empty(t, failed)
	require.Len(t, found, 2)
}

func TestWhatIsNoCandidateIsSkipped(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	large := strings.Repeat("x", 1<<20+1)
	for name, c := range map[string]struct {
		push func(t *testing.T, name, manifest string)
		want string
	}{
		"no signature": {func(t *testing.T, name, manifest string) {
			r.PushSignatures(t, name, manifest, registry.Layer{Payload: []byte("a")})
		}, "has no signature in base64 as annotation dev.cosignproject.cosign/signature"},
		"no base64": {func(t *testing.T, name, manifest string) {
			r.PushSignatures(t, name, manifest,
				registry.Layer{
					Payload:     []byte("a"),
					Annotations: map[string]string{"dev.cosignproject.cosign/signature": "!"},
				})
		}, "has no signature in base64"},
		"large payload": {func(t *testing.T, name, manifest string) {
			r.PushSignatures(t, name, manifest, signed(large, "1"))
		}, "has 1048577 bytes, at most 65536 are allowed"},
		"an index": {func(t *testing.T, name, manifest string) {
			r.PushManifest(t, name, registry.SignatureTag(manifest),
				ocispec.Index{
					Versioned: specs.Versioned{SchemaVersion: 2},
					MediaType: ocispec.MediaTypeImageIndex,
					Manifests: []ocispec.Descriptor{},
				})
		}, "has media type \"application/vnd.oci.image.index.v1+json\""},
		"another layer": {func(t *testing.T, name, manifest string) {
			var image ocispec.Manifest
			image.SchemaVersion, image.MediaType = 2, ocispec.MediaTypeImageManifest
			image.Config = r.PushBlob(t, name, registry.ConfigMediaType, []byte("{}"))
			image.Layers = []ocispec.Descriptor{r.PushBlob(t, name, "text/plain", []byte("a"))}
			r.PushManifest(t, name, registry.SignatureTag(manifest), image)
		}, `has media type "text/plain"`},
		"too many layers": {func(t *testing.T, name, manifest string) {
			layers := make([]registry.Layer, discovery.MaxCandidates+1)
			for n := range layers {
				layers[n] = signed("a", "1")
			}
			r.PushSignatures(t, name, manifest, layers...)
		}, "has 101 layers, of which only 100 are read"},
		"large bundle": {func(t *testing.T, name, manifest string) {
			r.PushReferrer(t, name, manifest, registry.BundleMediaType, []byte(large))
		}, "has 1048577 bytes, at most 1048576 are allowed"},
		"two bundles": {func(t *testing.T, name, manifest string) {
			r.PushReferrer(t, name, manifest, registry.BundleMediaType, []byte("a"), []byte("b"))
		}, "has 2 layers: a bundle has one"},
	} {
		t.Run(name, func(t *testing.T) {
			repository := strings.ReplaceAll(name, " ", "-")
			manifest := r.Push(t, repository, "v1", []byte("\x00asm"+name))
			c.push(t, repository, manifest)
			_, skipped, failed := find(t, r.Repository(t, repository), manifest)
			require.Empty(t, failed)
			require.NotEmpty(t, skipped)
			require.Contains(t, skipped[len(skipped)-1], c.want)
		})
	}
}

// index serves an index of missing manifests, which real registries refuse.
func index(count int, size int64) http.HandlerFunc {
	i := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
	}
	for n := range count {
		i.Manifests = append(i.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest,
			Digest:    digest.FromString(fmt.Sprint(n)),
			Size:      size,
		})
	}
	content, err := json.Marshal(i)
	return func(w http.ResponseWriter, r *http.Request) {
		if err != nil ||
			!strings.HasSuffix(r.URL.Path, "/manifests/"+strings.Replace(manifest, ":", "-", 1)) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	}
}

func TestReferrersThatAreNotThere(t *testing.T) {
	for count, want := range map[int]string{
		1:                           "not found",
		discovery.MaxCandidates + 1: "are more than 100, and the rest is not read",
	} {
		_, skipped, failed := find(t, serve(t, index(count, 10)), manifest)
		require.Empty(t, failed)
		require.Contains(t, skipped[len(skipped)-1], want)
	}
}

func TestTheSizeOfEverythingTogetherIsBounded(t *testing.T) {
	_, skipped, failed := find(t, serve(t, index(9, 4<<20)), manifest)
	require.Len(t, skipped, 7)
	require.ErrorContains(t, failed[0],
		"is not read: everything found together is larger than 33554432 bytes")
	_, skipped, failed = find(t, serve(t, index(1, 4<<20+1)), manifest)
	require.Empty(t, failed)
	require.Contains(t, skipped[0], "has 4194305 bytes, at most 4194304 are allowed")
}

// A small text may take much memory.
func TestTheNumberOfPartsIsBounded(t *testing.T) {
	const most = jsonparts.MaxManifest
	for tag, mediaType := range map[string]string{
		".sig": ocispec.MediaTypeImageManifest,
		"":     ocispec.MediaTypeImageIndex,
	} {
		content := `{"layers":[{}` + strings.Repeat(",{}", most/2) + `]}`
		_, skipped, failed := find(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/manifests/"+strings.Replace(manifest, ":", "-", 1)+
				tag) {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = io.WriteString(w, content)
		}), manifest)
		require.Empty(t, failed)
		require.Len(t, skipped, 1)
		require.Contains(t, skipped[0], "it has more than 50000 parts")
	}
}

// serve returns a client for a registry that the handler implements.
func serve(t *testing.T, handler http.HandlerFunc) *remote.Repository {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	repository, err := remote.NewRepository(strings.TrimPrefix(server.URL, "http://") + "/one")
	require.NoError(t, err)
	repository.PlainHTTP, repository.Client = true, &auth.Client{Client: http.DefaultClient}
	repository.ReferrerListMaxPages = 4
	return repository
}

const manifest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

func TestRegistriesThatAnswerOddly(t *testing.T) {
	answer := func(status int, mediaType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			w.Header().Set("Docker-Content-Digest", manifest)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	const tags, api = "/manifests/sha256-", "/referrers/"
	for name, c := range map[string]struct {
		path    string
		handler http.HandlerFunc
		want    string // of the failure; "" for none
	}{
		"nothing": {api, answer(404, "text/plain", "404 page not found\n"), ""},
		"signatures forbidden": {".sig",
			answer(403, "application/json", `{"errors": [{"code": "DENIED"}]}`),
			"tag sha256-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.sig: "},
		"signatures broken":   {".sig", answer(500, "text/plain", ""), "500"},
		"API broken":          {api, answer(500, "text/plain", ""), "referrers: "},
		"API forbidden":       {api, answer(401, "text/plain", ""), "401"},
		"fallback tag broken": {tags, answer(503, "text/plain", ""), "503"},
		"a secret in a URL": {api, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v2/gone?signature=secret", http.StatusTemporaryRedirect)
		}, "?…"},
		"a large image": {".sig",
			answer(200, ocispec.MediaTypeImageManifest, strings.Repeat(" ", 4<<20+1)),
			"is larger than 4194304 bytes"},
		"pages for ever": {api, endless, "exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			repository := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.Contains(r.URL.Path, "gone"):
					w.WriteHeader(http.StatusInternalServerError)
				case strings.Contains(r.URL.Path, c.path):
					c.handler(w, r)
				default:
					http.NotFound(w, r)
				}
			})
			found, _, failed := find(t, repository, manifest)
			require.Empty(t, found)
			if c.want == "" {
				require.Empty(t, failed)
				return
			}
			require.NotEmpty(t, failed)
			require.ErrorContains(t, failed[0], c.want)
			require.NotContains(t, failed[0].Error(), "secret")
		})
	}
}

// endless serves a list of referrers that always has another page.
func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	w.Header().Set("Link", fmt.Sprintf("<http://%s%s>; rel=next", r.Host, r.URL.Path))
	_, _ = w.Write([]byte(`{"schemaVersion": 2, "manifests": []}`))
}

func TestOtherDigestsAreRefused(t *testing.T) {
	_, _, failed := find(t, nil, "sha512:"+strings.Repeat("ab", 64))
	require.ErrorContains(t, failed[0], "only SHA-256 is supported")
}
