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
	"encoding/base64"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

const maxBytes = 1 << 10

// wasm returns bytes that begin like a module, and their digest.
func wasm(text string) (bytes []byte, digest string) {
	bytes = []byte("\x00asm\x01\x00\x00\x00" + text)
	sum := sha256.Sum256(bytes)
	return bytes, "sha256:" + hex.EncodeToString(sum[:])
}

func newFetcher(t testing.TB, options module.Options) *module.Fetcher {
	t.Helper()
	if options.MaxBytes == 0 {
		options.MaxBytes = maxBytes
	}
	f, err := module.NewFetcher(options)
	require.NoError(t, err)
	return module.Hurry(f, time.Hour)
}

func newStore(t testing.TB) (*module.Store, string) {
	t.Helper()
	directory := filepath.Join(t.TempDir(), "modules")
	s, err := module.OpenStore(directory)
	require.NoError(t, err)
	return s, directory
}

// trusting returns sources that trust a registry.
func trusting(r *registry.Registry) module.Sources {
	if r.CA == "" {
		return module.Sources{Insecure: []string{r.Host}}
	}
	return module.Sources{Authorities: []module.Authority{{Host: r.Host, Files: []string{r.CA}}}}
}

// logged returns a context, and a function that returns what was logged with it so far.
func logged(t testing.TB) (context.Context, func() string) {
	var mu sync.Mutex
	var b strings.Builder
	logger := funcr.New(func(prefix, arguments string) {
		mu.Lock()
		defer mu.Unlock()
		b.WriteString(prefix + arguments + "\n")
	}, funcr.Options{Verbosity: 5})
	return klog.NewContext(t.Context(), logger), func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

func TestRegistryReferences(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true})
	first, firstDigest := wasm("first")
	second, secondDigest := wasm("second")
	firstManifest := r.Push(t, "policies/one", "v1", first)
	secondManifest := r.Push(t, "policies/one", "latest", second)
	uri := "registry://" + r.Host + "/policies/one"
	f := newFetcher(t, module.Options{Sources: trusting(r)})
	for reference, want := range map[string]module.Module{
		":v1":               {Bytes: first, Digest: firstDigest, Revision: firstManifest},
		"@" + firstManifest: {Bytes: first, Digest: firstDigest, Revision: firstManifest},
		// the digest counts
		":v1@" + secondManifest:   {Bytes: second, Digest: secondDigest, Revision: secondManifest},
		":gone@" + secondManifest: {Bytes: second, Digest: secondDigest, Revision: secondManifest},
		"":                        {Bytes: second, Digest: secondDigest, Revision: secondManifest},
	} {
		got, err := f.Fetch(t.Context(), uri+reference)
		require.NoError(t, err, reference)
		require.Equal(t, &want, got, reference)
	}
	for reference, cause := range map[string]module.Cause{
		":v2":              module.CauseNotFound,
		"-other:v1":        module.CauseNotFound,
		"@" + firstDigest:  module.CauseNotFound, // the module's digest is not the manifest's
		"@sha256:00":       module.CauseInvalid,
		":v1@" + "sha256:": module.CauseInvalid,
	} {
		_, err := f.Fetch(t.Context(), uri+reference)
		require.Equal(t, cause, module.CauseOf(err), "%s: %v", reference, err)
		require.ErrorContains(t, err, "fetch "+uri+reference+": ")
	}
}

func TestTheModuleMustHaveTheDigestThatIsAskedFor(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true})
	bytes, digest := wasm("one")
	_, other := wasm("other")
	uri := "registry://" + r.Host + "/one:v1"
	r.Push(t, "one", "v1", bytes)
	store, _ := newStore(t)
	f := newFetcher(t, module.Options{Sources: trusting(r), Store: store})

	_, err := f.Get(t.Context(), module.Request{URI: uri, Digest: other})
	require.Equal(t, module.CauseDigest, module.CauseOf(err))
	var mismatch *module.DigestError
	require.ErrorAs(t, err, &mismatch)
	require.Equal(t, &module.DigestError{What: "module", Want: other, Got: digest}, mismatch)
	_, err = store.Get(digest, maxBytes)
	require.ErrorIs(t, err, os.ErrNotExist, "a module with the wrong digest is not stored")

	for range 2 { // fetched and stored
		got, err := f.Get(t.Context(), module.Request{URI: uri, Digest: digest})
		require.NoError(t, err)
		require.Equal(t, bytes, got.Bytes)
	}
	_, err = f.Get(t.Context(), module.Request{URI: uri, Digest: other})
	require.Equal(t, module.CauseDigest, module.CauseOf(err), "a stored module is also compared")
	_, err = f.Get(t.Context(), module.Request{URI: uri, Digest: "sha256:00"})
	require.Equal(t, module.CauseInvalid, module.CauseOf(err))
}

func TestStoredModulesNeedNoRegistry(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true})
	bytes, digest := wasm("one")
	manifest := r.Push(t, "one", "v1", bytes)
	uri := "registry://" + r.Host + "/one"
	store, directory := newStore(t)
	f := newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	want, err := f.Fetch(t.Context(), uri+":v1")
	require.NoError(t, err)
	r.Stop()

	// Simulate a restart.
	store, err = module.OpenStore(directory)
	require.NoError(t, err)
	ctx, log := logged(t)
	f = newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	for _, reference := range []string{"@" + manifest, ":v1@" + manifest, ":other@" + manifest} {
		got, err := f.Fetch(ctx, uri+reference)
		require.NoError(t, err, reference)
		require.Equal(t, want, got)
	}
	got, err := f.Get(ctx,
		module.Request{URI: "registry://" + r.Host + "/elsewhere:v7", Digest: digest})
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)
	require.NotContains(t, log(), "answer", "nobody was asked")

	got, err = f.Fetch(ctx, uri+":v1")
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Contains(t, log(), "using what it referred to last")
	require.Contains(t, log(), "connection refused")
	_, err = f.Fetch(ctx, uri+":v1")
	require.NoError(t, err)
	require.Contains(t, log(), "did not answer less than",
		"a registry that is down is not asked again at once")

	for _, reference := range []string{"one:v2", "two:v1"} {
		_, err = f.Fetch(ctx, "registry://"+r.Host+"/"+reference)
		require.Equal(t, module.CauseUnreachable, module.CauseOf(err),
			"a module that was never fetched is unavailable")
		require.ErrorContains(t, err, "check the host, its port")
	}
	f = newFetcher(t, module.Options{Sources: trusting(r)})
	_, err = f.Fetch(t.Context(), uri+"@"+manifest)
	require.Equal(t, module.CauseUnreachable, module.CauseOf(err))

	// The registry is back, with the tag moved.
	r = registry.Start(t, registry.Options{TLS: true, Root: r.Options.Root, Address: r.Host})
	second, _ := wasm("second")
	r.Push(t, "one", "v1", second)
	f = newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	got, err = f.Fetch(t.Context(), uri+":v1")
	require.NoError(t, err)
	require.Equal(t, second, got.Bytes)
}

// A tag is resolved at each request. If it still refers to the same manifest, nothing is
// downloaded.
func TestUnchangedTagsCostNoDownload(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	first, digest := wasm("first")
	r.Push(t, "one", "v1", first)
	uri := "registry://" + r.Host + "/one:v1"
	f := newFetcher(t, module.Options{Sources: trusting(r)})
	have, err := f.Fetch(t.Context(), uri)
	require.NoError(t, err)
	known := *have
	known.Bytes = nil // a caller need not keep them

	ctx, log := logged(t)
	got, err := f.Get(ctx, module.Request{URI: uri, Have: &known})
	require.NoError(t, err)
	require.Same(t, &known, got)
	require.NotContains(t, log(), "Fetched module")
	_, other := wasm("other")
	_, err = f.Get(ctx, module.Request{URI: uri, Have: &known, Digest: other})
	require.Equal(t, module.CauseDigest, module.CauseOf(err))

	second, _ := wasm("second")
	r.Push(t, "one", "v1", second)
	got, err = f.Get(ctx, module.Request{URI: uri, Have: &known})
	require.NoError(t, err)
	require.Equal(t, second, got.Bytes)
	require.Contains(t, log(), "Fetched module")

	store, _ := newStore(t)
	f = newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	_, err = f.Fetch(ctx, uri)
	require.NoError(t, err)
	r.Push(t, "one", "v1", first)
	_, err = f.Fetch(ctx, uri)
	require.NoError(t, err)
	r.Push(t, "one", "v1", second)
	before := log()
	got, err = f.Fetch(ctx, uri)
	require.NoError(t, err)
	require.Equal(t, second, got.Bytes)
	require.NotContains(t, log()[len(before):], "Fetched module",
		"a tag that moves back needs no download either")
	require.NotEqual(t, digest, got.Digest)
}

func writeFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func dockerConfig(host, user string) string {
	return `{"auths": {"` + host + `": {"auth": "` +
		base64.StdEncoding.EncodeToString([]byte(user)) + `"}}}`
}

func TestCredentials(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true, Username: "user", Password: "pass"})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	uri := "registry://" + r.Host + "/one:v1"
	sources := trusting(r)
	_, err := newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err))
	require.ErrorContains(t, err, "sources.dockerConfig")

	sources.DockerConfig = writeFile(t, dockerConfig(r.Host, "user:wrong"))
	f := newFetcher(t, module.Options{Sources: sources})
	_, err = f.Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err))
	require.NotContains(t, err.Error(), "wrong")

	// The file is read again for each request.
	for _, content := range []string{dockerConfig(r.Host, "user:pass"),
		dockerConfig("https://"+r.Host+"/v2/", "user:pass"),
		`{"auths": {"` + r.Host + `": {"username": "user", "password": "pass"}}}`} {
		require.NoError(t, os.WriteFile(sources.DockerConfig, []byte(content), 0o600))
		got, err := f.Fetch(t.Context(), uri)
		require.NoError(t, err)
		require.Equal(t, bytes, got.Bytes)
	}
	require.NoError(t,
		os.WriteFile(sources.DockerConfig, []byte(dockerConfig("other.example.com", "user:pass")),
			0o600))
	_, err = f.Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err),
		"another host's credentials are not used")
	require.NoError(t, os.Remove(sources.DockerConfig))
	_, err = f.Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err))
	require.ErrorContains(t, err, "no such file")
}

func TestCredentialsAreRefused(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	helper := filepath.Join(t.TempDir(), "docker-credential-test")
	require.NoError(t, os.WriteFile(helper, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o700))
	t.Setenv("PATH", filepath.Dir(helper)+":"+os.Getenv("PATH"))
	for content, text := range map[string]string{
		`{"credsStore": "test"}`:                           "credential helpers",
		`{"credHelpers": {"example.com": "test"}}`:         "credential helpers",
		`{"auths": {"example.com": {"auth": "c2VjcmV0"}}}`: "does not have the form that docker login writes",
		`secret`:              "is not a Docker config.json",
		`{"auths": "secret"}`: "auth",
		strings.Repeat(" ", 1<<20) + `{"auths": {}}`: "at most 1048576 are allowed",
	} {
		_, err := module.NewFetcher(module.Options{
			MaxBytes: 1,
			Sources:  module.Sources{DockerConfig: writeFile(t, content)},
		})
		require.ErrorContains(t, err, "sources.dockerConfig: ")
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "secret")
	}
	require.NoFileExists(t, marker)
	path := writeFile(t, "{}")
	require.NoError(t, os.Chmod(path, 0o622))
	_, err := module.NewFetcher(module.Options{
		MaxBytes: 1,
		Sources:  module.Sources{DockerConfig: path},
	})
	require.ErrorContains(t, err, "must not be able to write it")
	_, err = module.NewFetcher(module.Options{})
	require.ErrorContains(t, err, "0 bytes")
}

func TestCertificateAuthorities(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true})
	other := registry.Start(t, registry.Options{TLS: true})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	uri := "registry://" + r.Host + "/one:v1"
	ca, err := os.ReadFile(r.CA)
	require.NoError(t, err)
	otherCA, err := os.ReadFile(other.CA)
	require.NoError(t, err)
	file := writeFile(t, string(otherCA))
	for name, sources := range map[string]module.Sources{
		"none": {},
		"another": {Authorities: []module.Authority{{
			Host: r.Host, Files: []string{file},
		}}},
		"the right of another": {Authorities: []module.Authority{{
			Host: other.Host, Files: []string{r.CA},
		}}},
		"insecure is another":      {Insecure: []string{other.Host}},
		"insecure is another port": {Insecure: []string{"127.0.0.1"}},
	} {
		_, err := newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), uri)
		require.Equal(t, module.CauseUntrusted, module.CauseOf(err), name)
		require.ErrorContains(t, err, "sources.authorities", name)
	}
	for name, sources := range map[string]module.Sources{
		"the right": {Authorities: []module.Authority{{
			Host: r.Host, Files: []string{r.CA},
		}}},
		"one of two files": {Authorities: []module.Authority{{
			Host: r.Host, Files: []string{file, r.CA},
		}}},
		"one of two": {Authorities: []module.Authority{{Host: r.Host, Files: []string{file}},
			{Host: r.Host, Files: []string{r.CA}}}},
		"insecure": {Insecure: []string{r.Host}},
	} {
		got, err := newFetcher(t, module.Options{Sources: sources}).Fetch(t.Context(), uri)
		require.NoError(t, err, name)
		require.Equal(t, bytes, got.Bytes)
	}

	f := newFetcher(t, module.Options{
		Sources: module.Sources{
			Authorities: []module.Authority{{Host: r.Host, Files: []string{file}}},
		},
	})
	require.NoError(t, os.WriteFile(file, ca, 0o600))
	_, err = f.Fetch(t.Context(), uri)
	require.NoError(t, err, "the file is read again")
	require.NoError(t, os.WriteFile(file, otherCA, 0o600))
	_, err = f.Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err), "and again")

	for content, text := range map[string]string{
		"": "does not contain any",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "malformed",
	} {
		_, err := module.NewFetcher(module.Options{
			MaxBytes: 1,
			Sources: module.Sources{
				Authorities: []module.Authority{{
					Host: "a", Files: []string{writeFile(t, content)},
				}},
			},
		})
		require.ErrorContains(t, err, "sources.authorities of a:443: ")
		require.ErrorContains(t, err, text)
	}
}

func TestPlainHTTPOnlyWhereItIsAllowed(t *testing.T) {
	r := registry.Start(t, registry.Options{Username: "user", Password: "pass"})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	uri := "registry://" + r.Host + "/one:v1"
	credentials := writeFile(t, dockerConfig(r.Host, "user:pass"))
	_, err := newFetcher(t, module.Options{Sources: module.Sources{DockerConfig: credentials}}).
		Fetch(t.Context(), uri)
	require.Equal(t, module.CauseUntrusted, module.CauseOf(err))
	require.ErrorContains(t, err, "sources.insecure")
	got, err := newFetcher(t, module.Options{
		Sources: module.Sources{DockerConfig: credentials, Insecure: []string{r.Host}},
	}).Fetch(t.Context(), uri)
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)
}

// closedPort returns a host:port on which nothing listens.
func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestMirrorsAreAskedFirst(t *testing.T) {
	original := registry.Start(t, registry.Options{TLS: true})
	mirror := registry.Start(t, registry.Options{TLS: true, Username: "user", Password: "pass"})
	bytes, _ := wasm("one")
	mirrored, mirroredDigest := wasm("mirrored")
	manifest := original.Push(t, "policies/one", "v1", bytes)
	mirror.Push(t, "copy/one", "v1", mirrored)
	mirror.Push(t, "copy/only", "v1", mirrored)
	sources := func(host, user string) module.Sources {
		return module.Sources{
			Authorities: []module.Authority{{Host: original.Host, Files: []string{original.CA}},
				{Host: mirror.Host, Files: []string{mirror.CA}}},
			DockerConfig: writeFile(t, dockerConfig(mirror.Host, user)),
			Mirrors: []module.Mirror{{
				Prefix:      "registry://" + original.Host + "/policies/",
				Replacement: "registry://" + host + "/copy/",
			}},
		}
	}
	uri := "registry://" + original.Host + "/policies/"
	ctx, log := logged(t)
	f := newFetcher(t, module.Options{Sources: sources(mirror.Host, "user:pass")})
	got, err := f.Fetch(ctx, uri+"one:v1")
	require.NoError(t, err)
	require.Equal(t, mirroredDigest, got.Digest, "hit")
	_, err = f.Fetch(ctx, uri+"only:v1")
	require.NoError(t, err)
	require.NotContains(t, log(), "asking the source itself")
	got, err = f.Fetch(ctx, uri+"one@"+manifest)
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes, "miss")
	require.Contains(t, log(), "asking the source itself")
	require.Contains(t, log(), "registry://"+mirror.Host+"/copy/one@"+manifest)

	_, err = f.Fetch(ctx, uri+"neither:v1")
	require.Equal(t, module.CauseNotFound, module.CauseOf(err))
	require.ErrorContains(t, err, "before that, mirror registry://"+mirror.Host+
		"/copy/neither:v1: not found")

	got, err = newFetcher(t, module.Options{Sources: sources(closedPort(t), "user:pass")}).
		Fetch(ctx, uri+"one:v1")
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes, "down")

	_, err = newFetcher(t, module.Options{Sources: sources(mirror.Host, "user:wrong")}).
		Fetch(ctx, uri+"one:v1")
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err),
		"a mirror's refusal is a mistake to correct")
}

func TestWhatIsNoPolicyIsRefused(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	layer := r.PushBlob(t, "one", registry.LayerMediaType, bytes)
	large := r.PushBlob(t, "one", registry.LayerMediaType, append(bytes, make([]byte, maxBytes)...))
	other := r.PushBlob(t, "one", "application/vnd.oci.image.layer.v1.tar", []byte("any"))
	text := r.PushBlob(t, "one", registry.LayerMediaType, []byte("<html>"))
	manifest := r.PushManifest(t, "one", "fine", registry.Manifest(layer, other))
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	descriptor, err := r.Repository(t, "one").Resolve(t.Context(), "fine")
	require.NoError(t, err)
	index.Manifests = []ocispec.Descriptor{descriptor}
	r.PushManifest(t, "one", "index", index)
	r.PushManifest(t, "one", "none", registry.Manifest(other))
	r.PushManifest(t, "one", "two", registry.Manifest(layer, layer))
	r.PushManifest(t, "one", "text", registry.Manifest(text))
	r.PushManifest(t, "one", "large", registry.Manifest(large))
	huge := registry.Manifest(layer)
	huge.Annotations = map[string]string{"a": strings.Repeat("a", 1<<20)}
	r.PushManifest(t, "one", "huge", huge)

	store, directory := newStore(t)
	f := newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	for tag, want := range map[string]struct {
		cause module.Cause
		text  string
	}{
		"index": {module.CauseMediaType, "not an index"},
		"none":  {module.CauseMediaType, "has 1 layers, and 0 of type"},
		"two":   {module.CauseMediaType, "has 2 layers, and 2 of type"},
		"text":  {module.CauseMediaType, `begins with "<htm"`},
		"large": {module.CauseTooLarge,
			"1035 bytes of module, at most 1024 are allowed: raise limits.moduleSize"},
		"huge": {module.CauseTooLarge, "bytes of manifest"},
	} {
		_, err := f.Fetch(t.Context(), "registry://"+r.Host+"/one:"+tag)
		require.Equal(t, want.cause, module.CauseOf(err), "%s: %v", tag, err)
		require.ErrorContains(t, err, want.text)
	}
	files, err := filepath.Glob(filepath.Join(directory, "*", "*"))
	require.NoError(t, err)
	require.Empty(t, files, "nothing of it is stored")
	got, err := f.Fetch(t.Context(), "registry://"+r.Host+"/one:fine")
	require.NoError(t, err)
	require.Equal(t, manifest, got.Revision)
}

func TestRequestsForTheSameModuleWaitForEachOther(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	store, _ := newStore(t)
	f := newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	ctx, log := logged(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			got, err := f.Fetch(ctx, "registry://"+r.Host+"/one:v1")
			if err != nil || string(got.Bytes) != string(bytes) {
				t.Errorf("fetched %v, %v", got, err)
			}
		})
	}
	group.Wait()
	require.Equal(t, 1, strings.Count(log(), "Fetched module"))
}
