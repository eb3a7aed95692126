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

package images_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/oci/images"
)

// names is a DNS server that returns one address for every name.
func names(t *testing.T, address [4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(slices.Clone(buffer[:n])) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: address},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		}}
}

// victim is a server that counts the requests that reach it.
func victim(t *testing.T) (host string, requests *atomic.Int32) {
	t.Helper()
	requests = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), requests
}

func TestOnlyNamedRegistriesAreAsked(t *testing.T) {
	host, requests := victim(t)
	_, port, err := net.SplitHostPort(host)
	require.NoError(t, err)
	const notNamed, notPublic = "which policies may not ask about: add ",
		"has an address that is not on the internet: name it with its port"
	for _, test := range []struct {
		name, image string
		registries  []string
		err         string
	}{
		{"none is named", "ghcr.io/app", nil,
			`image "ghcr.io/app" is in registry ghcr.io, which policies may not ask about: add "ghcr.io", or a pattern such as "*.example.com", to capabilities.oci.registries of the configuration`},
		{"another is named", host + "/app", []string{"127.0.0.1:1"}, notNamed},
		{"every name is", host + "/app", []string{"*", "*:" + port}, notNamed},
		{"without its port", host + "/app", []string{"127.0.0.1"}, notNamed},
		{"a name of loopback", "localhost:" + port + "/app", []string{"*:" + port}, notPublic},
		{"a name below a domain", "a.example.com:" + port + "/app",
			[]string{"*.example.com:" + port}, notPublic},
		{"a name without a port", "a.example.com/app", []string{"a.example.com"}, notPublic},
		{"an address without a port", "127.0.0.1/app", []string{"127.0.0.1"}, notPublic},
		{"metadata of a cloud", "169.254.169.254/app", []string{"169.254.169.254"}, notPublic},
		{"IPv6", "[::1]/app", []string{"[::1]"}, notPublic},
		{"mapped", "[::ffff:127.0.0.1]/app", []string{"[::ffff:127.0.0.1]"}, notPublic},
		{"Docker Hub by another name", "registry-1.docker.io/library/app", []string{"docker.io"},
			notNamed},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newImages(t, host, func(o *images.Options) {
				o.Registries, o.Resolver = test.registries, names(t, [4]byte{127, 0, 0, 1})
				o.Sources.Insecure = append(o.Sources.Insecure, "localhost:"+port,
					"a.example.com:"+port)
			})
			for _, operation := range []string{
				oci.ManifestDigest, oci.Manifest, oci.ManifestAndConfig,
			} {
				_, err := call(t, i, operation, test.image)
				require.ErrorContains(t, err, test.err)
			}
			require.Zero(t, requests.Load())
		})
	}
	// A name that is listed with its port may have any address.
	i := newImages(t, "a.example.com:"+port, func(o *images.Options) {
		o.Resolver = names(t, [4]byte{127, 0, 0, 1})
	})
	_, err = call(t, i, oci.ManifestDigest, "a.example.com:"+port+"/app")
	require.ErrorContains(t, err, "answered 418")
	require.EqualValues(t, 1, requests.Load())
}

// leading is a registry with valid manifests. It redirects requests that match a pattern to another
// host.
func leading(t *testing.T, elsewhere string) (host string) {
	t.Helper()
	config := digest.FromString("{}")
	manifest :=
		fmt.Sprintf(
			`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[]}`,
			config)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/token/"):
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+elsewhere+
				`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/v2/moved/") || strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, "http://"+elsewhere+r.URL.Path+"?signature=secret",
				http.StatusTemporaryRedirect)
		default:
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = w.Write([]byte(manifest))
		}
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return u.Host
}

// People who run a policy themselves may allow any host.
func TestAnybodyIsAskedIfThatIsWished(t *testing.T) {
	host, requests := victim(t)
	i := newImages(t, host, func(o *images.Options) { o.Registries, o.Anywhere = nil, true })
	_, err := call(t, i, oci.ManifestDigest, host+"/a:v1")
	require.ErrorContains(t, err, "418")
	require.Positive(t, requests.Load())
}

func TestRegistriesLeadNowhereElse(t *testing.T) {
	elsewhere, requests := victim(t)
	_, port, err := net.SplitHostPort(elsewhere)
	require.NoError(t, err)
	host := leading(t, elsewhere)
	byName := leading(t, "a.example.com:"+port)
	for _, test := range []struct {
		name, host, repository string
		redirects              []string
		err                    string
	}{
		{"manifests", host, "moved", nil, "leads to host"},
		{"blobs", host, "app", nil, "leads to host"},
		{"tokens", host, "token", nil, "leads to host"},
		{"to another port of a host", host, "app", []string{"127.0.0.1"}, "leads to host"},
		{"to a name of loopback", byName, "app", []string{"*.example.com:" + port},
			"has an address that is not on the internet"},
		{"tokens of a name of loopback", byName, "token", []string{"*:" + port},
			"has an address that is not on the internet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newImages(t, test.host, func(o *images.Options) {
				o.Redirects, o.Resolver = test.redirects, names(t, [4]byte{127, 0, 0, 1})
				o.Sources.Insecure = append(o.Sources.Insecure, elsewhere, "a.example.com:"+port)
			})
			_, err := call(t, i, oci.ManifestAndConfig, test.host+"/"+test.repository)
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "secret")
			require.Zero(t, requests.Load())
		})
	}
	i := newImages(t, host, func(o *images.Options) {
		o.Redirects, o.Sources.Insecure = []string{elsewhere}, append(o.Sources.Insecure, elsewhere)
	})
	_, err = call(t, i, oci.ManifestAndConfig, host+"/app")
	require.ErrorContains(t, err, "418")
	require.EqualValues(t, 1, requests.Load(), "it is named")
}

// Registries sign the URLs to which they redirect, and such a URL alone grants access to the
// content.
func TestURLsOfRedirectsAreNotTold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Content-Digest", digest.FromString("something else").String())
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	elsewhere := strings.TrimPrefix(server.URL, "http://")
	host := leading(t, elsewhere)
	i := newImages(t, host, func(o *images.Options) {
		o.Redirects, o.Sources.Insecure = []string{elsewhere}, append(o.Sources.Insecure, elsewhere)
	})
	_, err := call(t, i, oci.ManifestAndConfig, host+"/app")
	require.ErrorContains(t, err, "digest mismatch")
	require.NotContains(t, err.Error(), "secret")
}
