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

package modules_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/pkg/sigstore"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
	"github.com/wasm-admission/wasm-admission/pkg/verification/modules"
	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing"
)

var wasm = []byte("\x00asm\x01\x00\x00\x00")

// silent returns a context whose logger discards everything.
func silent(t *testing.T) context.Context {
	t.Helper()
	return klog.NewContext(t.Context(), logr.Discard())
}

func newVerifier(t *testing.T, config string) *modules.Verifier {
	t.Helper()
	parsed, err := verification.ParseConfig([]byte(config))
	require.NoError(t, err)
	v, err := modules.New(modules.Options{
		Checker:  sigstore.New(nil),
		Config:   parsed,
		Required: true,
	})
	require.NoError(t, err)
	return v
}

func newFetcher(t *testing.T, v *modules.Verifier, store *module.Store,
	sources module.Sources) *module.Fetcher {
	t.Helper()
	f, err := module.NewFetcher(module.Options{
		MaxBytes: 1 << 20,
		Store:    store,
		Sources:  sources,
		Verifier: v,
	})
	require.NoError(t, err)
	return f
}

func newStore(t *testing.T) *module.Store {
	t.Helper()
	store, err := module.OpenStore(filepath.Join(t.TempDir(), "modules"))
	require.NoError(t, err)
	return store
}

var kinds = map[string]registry.Options{
	"distribution":                         {},
	"go-containerregistry":                 {InMemory: true},
	"go-containerregistry, with referrers": {InMemory: true, Referrers: true},
}

func TestSignedModulesAreAccepted(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	prod := map[string]string{"env": "prod"}
	for registryName, options := range kinds {
		r := registry.Start(t, options)
		insecure := module.Sources{Insecure: []string{r.Host}}
		for name, sign := range map[string]func(t *testing.T, repository, manifest string){
			"image of signatures": func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest, key.Layer(t, manifest, prod))
			},
			"image with several": func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest, other.Layer(t, manifest, prod),
					key.Layer(t, manifest, nil), key.Layer(t, manifest, prod))
			},
			"bundle": func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Bundle(t, manifest, prod))
			},
			"bundle among others": func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, "application/spdx+json",
					[]byte("materials"))
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Statement(t, manifest, "https://slsa.dev/provenance/v1", prod))
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					other.Bundle(t, manifest, prod))
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Bundle(t, manifest, prod))
			},
			"bundle beside a foreign image": func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest, other.Layer(t, manifest, prod))
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Bundle(t, manifest, prod))
			},
		} {
			t.Run(registryName+"/"+name, func(t *testing.T) {
				repository := strings.ReplaceAll(name, " ", "-")
				sign(t, repository, r.Push(t, repository, "v1", append(wasm, name...)))
				_, err := newFetcher(t, newVerifier(t, key.Config(`"env": "prod"`)), nil, insecure).
					Get(silent(t),
						module.Request{URI: "registry://" + r.Host + "/" + repository + ":v1"})
				require.NoError(t, err)
			})
		}
	}
}

// A writer to the registry that cannot sign must not displace the accepted evidence.
func TestOtherCandidatesDoNotCrowdOutEvidence(t *testing.T) {
	key := signing.NewKey(t)
	r := registry.Start(t, registry.Options{})
	manifest := r.Push(t, "one", "v1", wasm)
	for n := range 9 {
		r.PushReferrer(t, "one", manifest, registry.BundleMediaType,
			[]byte(strconv.Itoa(n)+strings.Repeat(" ", 200<<10)))
	}
	r.PushReferrer(t, "one", manifest, registry.BundleMediaType, key.Bundle(t, manifest, nil))
	v, request := newVerifier(t, key.Config("")),
		module.Request{URI: "registry://" + r.Host + "/one:v1"}
	got, err := newFetcher(t, v, nil, module.Sources{Insecure: []string{r.Host}}).
		Get(silent(t), request)
	require.NoError(t, err)
	require.NotEmpty(t, got.Proof.Evidence)
	require.Less(t, len(got.Proof.Evidence), 300<<10)
	require.NoError(t, got.Proof.Verify(t.Context(), v, request, got))
}

func TestModulesAreRefused(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	prod := map[string]string{"env": "prod"}
	elsewhere := "sha256:" + strings.Repeat("ab", 32)
	for registryName, options := range kinds {
		r := registry.Start(t, options)
		insecure := module.Sources{Insecure: []string{r.Host}}
		for name, c := range map[string]struct {
			sign func(t *testing.T, repository, manifest string)
			want string
		}{
			"unsigned": {func(*testing.T, string, string) {},
				"; none was found at all; looked for the tag sha256-"},
			"foreign key, image": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest, other.Layer(t, manifest, prod))
			}, "found 1: layer 0 of sha256-"},
			"foreign key, bundle": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					other.Bundle(t, manifest, prod))
			}, "found 1: referrer sha256:"},
			"wrong annotation, image": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest,
					key.Layer(t, manifest, map[string]string{"env": "dev"}))
			}, `wants annotation "env" to be "prod", not "dev"`},
			"wrong annotation, bundle": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Bundle(t, manifest, map[string]string{"env": "dev"}))
			}, `wants annotation "env" to be "prod", not "dev"`},
			"annotation of another's": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest, other.Layer(t, manifest, prod),
					key.Layer(t, manifest, nil))
			}, `wants annotation "env", which the signature does not cover`},
			"another digest, image": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushSignatures(t, repository, manifest, key.Layer(t, elsewhere, prod))
			}, "found 1: layer 0 of sha256-"},
			"another digest, bundle": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Bundle(t, elsewhere, prod))
			}, "found 1: referrer sha256:"},
			"attestation": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.Statement(t, manifest, "https://slsa.dev/provenance/v1", prod))
			}, "found 1: referrer sha256:"},
			"signature of bytes": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType,
					key.FileBundle(t, wasm))
			}, "found 1: referrer sha256:"},
			"no bundle": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				r.PushReferrer(t, repository, manifest, registry.BundleMediaType, []byte("{}"))
			}, "found 1: referrer sha256:"},
			"changed payload": {func(t *testing.T, repository, manifest string) {
				t.Helper()
				layer := key.Layer(t, manifest, nil)
				layer.Payload = key.Layer(t, manifest, prod).Payload
				r.PushSignatures(t, repository, manifest, layer)
			}, "found 1: layer 0 of sha256-"},
		} {
			t.Run(registryName+"/"+name, func(t *testing.T) {
				repository := strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)
				manifest := r.Push(t, repository, "v1", append(wasm, name...))
				c.sign(t, repository, manifest)
				_, err := newFetcher(t, newVerifier(t, key.Config(`"env": "prod"`)), newStore(t),
					insecure).Get(silent(t),
					module.Request{URI: "registry://" + r.Host + "/" + repository + ":v1"})
				require.Equal(t, module.CauseUnverified, module.CauseOf(err))
				require.ErrorContains(t, err, "not verified: "+manifest+
					": no signature meets allOf[0] of verification.config: key sha256:")
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "\n", "it is one line")
			})
		}
	}
}

// A tag that moves to an unsigned module is refused. The signed module stays valid.
func TestMovedTags(t *testing.T) {
	key := signing.NewKey(t)
	r := registry.Start(t, registry.Options{})
	manifest := r.Push(t, "one", "v1", wasm)
	r.PushSignatures(t, "one", manifest, key.Layer(t, manifest, nil))
	f := newFetcher(t, newVerifier(t, key.Config()), newStore(t),
		module.Sources{Insecure: []string{r.Host}})
	_, err := f.Get(silent(t), module.Request{URI: "registry://" + r.Host + "/one:v1"})
	require.NoError(t, err)
	r.Push(t, "one", "v1", append(wasm, "moved"...))
	_, err = f.Get(silent(t), module.Request{URI: "registry://" + r.Host + "/one:v1"})
	require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	_, err = f.Get(silent(t), module.Request{URI: "registry://" + r.Host + "/one@" + manifest})
	require.NoError(t, err)
}

func TestMirrors(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	source, mirror := registry.Start(t, registry.Options{}),
		registry.Start(t, registry.Options{InMemory: true, Referrers: true})
	sources := module.Sources{
		Insecure: []string{source.Host, mirror.Host},
		Mirrors: []module.Mirror{{
			Prefix: "registry://" + source.Host + "/", Replacement: "registry://" + mirror.Host +
				"/",
		}},
	}
	push := func(name string) string {
		manifest := source.Push(t, name, "v1", append(wasm, name...))
		require.Equal(t, manifest, mirror.Push(t, name, "v1", append(wasm, name...)))
		return manifest
	}
	fetch := func(name string) error {
		_, err := newFetcher(t, newVerifier(t, key.Config()), nil, sources).
			Get(silent(t), module.Request{URI: "registry://" + source.Host + "/" + name + ":v1"})
		return err
	}
	both := push("in-the-mirror")
	mirror.PushReferrer(t, "in-the-mirror", both, registry.BundleMediaType,
		key.Bundle(t, both, nil))
	require.NoError(t, fetch("in-the-mirror"))
	only := push("in-the-source")
	source.PushSignatures(t, "in-the-source", only, key.Layer(t, only, nil))
	require.NoError(t, fetch("in-the-source"), "a mirror without signatures is not the last word")
	push("nowhere")
	require.ErrorContains(t, fetch("nowhere"), "; before that, mirror registry://")
	require.Equal(t, module.CauseUnverified, module.CauseOf(fetch("nowhere")))
	foreign := push("foreign")
	mirror.PushSignatures(t, "foreign", foreign, other.Layer(t, foreign, nil))
	require.Equal(t, module.CauseUnverified, module.CauseOf(fetch("foreign")))
}

// The registry is not asked after a restart, nor when a configuration demands evidence that was
// seen before.
func TestWithoutTheRegistry(t *testing.T) {
	key, second, foreign := signing.NewKey(t), signing.NewKey(t), signing.NewKey(t)
	r := registry.Start(t, registry.Options{})
	manifest := r.Push(t, "one", "v1", wasm)
	r.PushSignatures(t, "one", manifest, second.Layer(t, manifest, nil),
		key.Layer(t, manifest, map[string]string{"env": "prod"}))
	store, sources := newStore(t), module.Sources{Insecure: []string{r.Host}}
	uri := "registry://" + r.Host + "/one:v1"
	fetch := func(config, demands string) error {
		_, err := newFetcher(t, newVerifier(t, config), store, sources).
			Get(silent(t), module.Request{URI: uri, Demands: demands})
		return err
	}
	require.NoError(t, fetch(key.Config(), ""))
	require.NoError(t,
		fetch(key.Config(), modules.Demands{Config: []byte(key.Config(`"env": "prod"`))}.Text()))
	r.Stop()
	require.NoError(t, fetch(key.Config(), ""), "the same")
	require.NoError(t, fetch(second.Config(), ""), "another that was looked at")
	require.NoError(t,
		fetch(key.Config(), modules.Demands{Config: []byte(key.Config(`"env": "prod"`))}.Text()))
	err := fetch(foreign.Config(), "")
	require.Equal(t, module.CauseUnreachable, module.CauseOf(err))
	require.ErrorContains(t, err, "the stored module is refused: not verified: "+manifest+
		": no signature meets allOf[0] of verification.config")
	require.Error(t, fetch(key.Config(), modules.Demands{Config: []byte(foreign.Config())}.Text()))
}

// An error of the registry does not mean that there are no signatures.
func TestRegistriesThatFail(t *testing.T) {
	key := signing.NewKey(t)
	r := registry.Start(t, registry.Options{})
	manifest := r.Push(t, "one", "v1", wasm)
	broken :=
		httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			if strings.Contains(request.URL.Path, "/referrers/") ||
				strings.Contains(request.URL.Path, "/manifests/sha256-") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			http.Redirect(w, request, "http://"+r.Host+request.URL.Path,
				http.StatusTemporaryRedirect)
		}))
	defer broken.Close()
	host := strings.TrimPrefix(broken.URL, "http://")
	_, err := newFetcher(t, newVerifier(t, key.Config()), nil, module.Sources{
		Insecure: []string{r.Host, host},
	}).Get(silent(t), module.Request{URI: "registry://" + host + "/one@" + manifest})
	require.Equal(t, module.CauseUnauthorized, module.CauseOf(err))
	require.ErrorContains(t, err, "not everything could be read: tag sha256-")
}

func TestFiles(t *testing.T) {
	key, other := signing.NewKey(t), signing.NewKey(t)
	for name, c := range map[string]struct {
		bundle []byte
		want   string
	}{
		"signed": {key.FileBundle(t, wasm), ""},
		"unsigned": {nil,
			"none was found at all; looked for policy.wasm.sigstore.json, as cosign sign-blob --bundle writes it"},
		"foreign key": {other.FileBundle(t, wasm),
			"found 1: policy.wasm.sigstore.json: not by key sha256:"},
		"another file": {key.FileBundle(t, append(wasm, 0)),
			"found 1: policy.wasm.sigstore.json: not by key sha256:"},
		"a statement": {key.Bundle(t, engine.Digest(wasm), nil),
			"found 1: policy.wasm.sigstore.json: not by key sha256:"},
		"no bundle": {[]byte("{"), "found 1: policy.wasm.sigstore.json: not by key sha256:"},
		"a large thing": {make([]byte, 1<<20+1),
			"not everything could be read: policy.wasm.sigstore.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "policy.wasm")
			require.NoError(t, os.WriteFile(path, wasm, 0o600))
			if c.bundle != nil {
				require.NoError(t, os.WriteFile(path+".sigstore.json", c.bundle, 0o600))
			}
			server := httptest.NewTLSServer(http.FileServer(http.Dir(filepath.Dir(path))))
			defer server.Close()
			authority := filepath.Join(t.TempDir(), "ca.crt")
			pem, err := certutil.EncodeCertificates(server.Certificate())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(authority, pem, 0o600))
			host := strings.TrimPrefix(server.URL, "https://")
			f := newFetcher(t, newVerifier(t, key.Config()), newStore(t), module.Sources{
				Authorities: []module.Authority{{Host: host, Files: []string{authority}}},
			})
			for _, uri := range []string{
				"file://" + path, server.URL + "/policy.wasm",
				server.URL + "/policy.wasm?token=secret",
			} {
				_, err := f.Get(silent(t), module.Request{URI: uri})
				if c.want == "" {
					require.NoError(t, err)
					continue
				}
				require.ErrorContains(t, err,
					engine.Digest(wasm)+": no signature meets allOf[0] of verification.config")
				require.ErrorContains(t, err, c.want)
				require.NotContains(t, err.Error(), "secret")
				require.NotContains(t, err.Error(), "\n")
			}
			if c.want == "" {
				server.Close()
				_, err := f.Get(silent(t), module.Request{URI: server.URL + "/policy.wasm"})
				require.NoError(t, err, "what was accepted needs no server")
			}
		})
	}
}
