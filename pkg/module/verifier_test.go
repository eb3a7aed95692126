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
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	orascontent "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/internal/jsonparts"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// verifier accepts artifacts that have a note beside them.
type verifier struct {
	identity string
	refuse   error
	asked    []module.Artifact
	// evidence is what Verify returns, and accepts is the evidence that it accepts.
	evidence, accepts string
	shown             []module.Artifact // with evidence
}

func (v *verifier) Identity(demands string) string {
	if v.identity == "" {
		return ""
	}
	return v.identity + demands
}

func (v *verifier) Verify(ctx context.Context, artifact module.Artifact) ([]byte, error) {
	if artifact.Evidence != nil {
		v.shown = append(v.shown, artifact)
		if artifact.Source != nil || artifact.Beside != nil {
			return nil, errors.New("asked beside evidence")
		}
		if !strings.Contains(v.accepts, string(artifact.Evidence)) {
			return nil, errors.New("evidence of somebody else")
		}
		return nil, nil
	}
	v.asked = append(v.asked, artifact)
	if artifact.Source != nil {
		read, err := orascontent.FetchAll(ctx, artifact.Source, artifact.Manifest)
		if err != nil {
			return nil, err
		}
		if len(read) == 0 {
			return nil, errors.New("empty manifest")
		}
	}
	return []byte(v.evidence), v.refuse
}

func TestVerification(t *testing.T) {
	r := registry.Start(t, registry.Options{TLS: true, Username: "user", Password: "pass"})
	bytes, digest := wasm("one")
	manifest := r.Push(t, "one", "v1", bytes)
	uri := "registry://" + r.Host + "/one:v1"
	sources := trusting(r)
	sources.DockerConfig = writeFile(t, dockerConfig(r.Host, "user:pass"))
	store, directory := newStore(t)
	fetch := func(v module.Verifier, request module.Request) (*module.Module, error) {
		request.URI = uri
		return newFetcher(t, module.Options{Sources: sources, Store: store, Verifier: v}).
			Get(t.Context(), request)
	}

	refusing := &verifier{identity: "refusing", refuse: errors.New("signed by nobody")}
	_, err := fetch(refusing, module.Request{})
	require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	require.ErrorContains(t, err, "not verified: signed by nobody")
	require.ErrorIs(t, err, refusing.refuse)
	require.Len(t, refusing.asked, 1)
	require.Equal(t, uri, refusing.asked[0].URI)
	require.Equal(t, digest, refusing.asked[0].Digest)
	require.Equal(t, r.Host+"/one", refusing.asked[0].Repository)
	require.Equal(t, manifest, refusing.asked[0].Manifest.Digest.String())
	files, err := filepath.Glob(filepath.Join(directory, "*", "*"))
	require.NoError(t, err)
	require.Empty(t, files, "nothing unverified is stored")

	// A module that was stored without verification, or with another one, is verified again.
	unverified, err := fetch(nil, module.Request{})
	require.NoError(t, err)
	for _, request := range []module.Request{{}, {Digest: digest}, {Have: unverified}} {
		_, err = fetch(refusing, request)
		require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	}
	one, two := &verifier{identity: "one", evidence: "1", accepts: "1"},
		&verifier{identity: "two", evidence: "2", accepts: "2"}
	for round := range 2 {
		for _, v := range []*verifier{one, two} {
			got, err := fetch(v, module.Request{})
			require.NoError(t, err)
			require.Equal(t, bytes, got.Bytes)
			require.Len(t, v.asked, round+1, "rejected evidence makes the fetcher ask the registry")
		}
	}

	// After each restart, the module is verified again by its stored evidence, and the registry is
	// not asked.
	verified, err := fetch(two, module.Request{})
	require.NoError(t, err)
	require.Equal(t, "two", verified.VerifiedBy)
	for _, request := range []module.Request{{}, {Digest: digest}, {Have: verified}} {
		shown := len(two.shown)
		_, err := fetch(two, request)
		require.NoError(t, err)
		require.Len(t, two.shown, shown+1)
		last := two.shown[shown]
		require.Equal(t, digest, last.Digest)
		require.Equal(t, manifest, last.Manifest.Digest.String())
		require.Equal(t, r.Host+"/one", last.Repository)
	}
	require.Len(t, two.asked, 2)
	_, err = fetch(&verifier{identity: "other", accepts: "2"}, module.Request{})
	require.NoError(t, err, "evidence counts under any identity that accepts it")

	// Without evidence, the source is asked every time.
	lazy := &verifier{identity: "lazy"}
	for n := range 2 {
		_, err := fetch(lazy, module.Request{})
		require.NoError(t, err)
		require.Len(t, lazy.asked, n+1)
	}

	r.Stop()
	_, err = fetch(two, module.Request{})
	require.NoError(t, err, "an accepted module needs no registry")
	for _, request := range []module.Request{{}, {Digest: digest}} {
		_, err = fetch(&verifier{identity: "three"}, request)
		require.Equal(t, module.CauseUnreachable, module.CauseOf(err))
		require.ErrorContains(t, err,
			"the stored module is refused: not verified: evidence of somebody else")
	}
}

// A module that was accepted in this process is not verified again, unless the identity changes.
func TestVerificationIsRemembered(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, digest := wasm("one")
	r.Push(t, "one", "v1", bytes)
	v := &verifier{identity: "one", evidence: "1", accepts: "1"}
	store, _ := newStore(t)
	f := newFetcher(t, module.Options{Sources: trusting(r), Store: store, Verifier: v})
	request := module.Request{URI: "registry://" + r.Host + "/one:v1", Digest: digest}
	for range 3 {
		_, err := f.Get(t.Context(), request)
		require.NoError(t, err)
	}
	require.Len(t, v.asked, 1)
	require.Len(t, v.shown, 1)
	v.identity, v.accepts = "two", ""
	_, err := f.Get(t.Context(), request)
	require.NoError(t, err)
	require.Len(t, v.asked, 2)

	// The policy's own demands are part of the identity, and have their own evidence.
	request.Demands = "more"
	_, err = f.Get(t.Context(), request)
	require.NoError(t, err)
	require.Len(t, v.asked, 3)
	require.Equal(t, "more", v.asked[2].Demands)
	v.identity, v.accepts = "", "1"
	for range 2 {
		shown := len(v.shown)
		_, err = f.Get(t.Context(), request)
		require.NoError(t, err)
		require.Len(t, v.shown, shown+1, "without an identity, the module is verified every time")
	}
}

// turning changes its identity after each acceptance.
type turning struct{ *verifier }

func (v *turning) Verify(ctx context.Context, artifact module.Artifact) ([]byte, error) {
	evidence, err := v.verifier.Verify(ctx, artifact)
	v.identity += "+"
	return evidence, err
}

// If a trust root or a demand changes while a module is fetched or read from the store, the new
// identity must not count as the one that accepted the module.
func TestWhatAcceptedAModuleIsNotWhatCameAfter(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	v := &turning{&verifier{identity: "one", evidence: "1", accepts: "1"}}
	store, _ := newStore(t)
	// from the registry, and from the store, which shows it for the tag and for the digest
	for _, want := range []string{"one", "one++"} {
		f := newFetcher(t, module.Options{Sources: trusting(r), Store: store, Verifier: v})
		got, err := f.Get(t.Context(), module.Request{URI: "registry://" + r.Host + "/one:v1"})
		require.NoError(t, err)
		require.Equal(t, want, got.VerifiedBy)
		require.Len(t, v.asked, 1)
	}
	require.Len(t, v.shown, 2)
}

// referring asks for referrers of the manifest.
type referring struct{ err error }

func (r *referring) Identity(string) string { return "referring" }

func (r *referring) Verify(ctx context.Context, artifact module.Artifact) ([]byte, error) {
	_, r.err = artifact.Source.Predecessors(ctx, artifact.Manifest)
	return nil, r.err
}

func TestPagesOfReferrersAreBounded(t *testing.T) {
	h := newHostile(t, nil)
	h.onBlob = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Link", "<http://"+h.host+r.URL.Path+">; rel=next")
		_, _ = w.Write([]byte(`{"schemaVersion": 2, "manifests": []}`))
	}
	v := &referring{}
	_, err := newFetcher(t,
		module.Options{Sources: module.Sources{Insecure: []string{h.host}}, Verifier: v}).
		Get(t.Context(), module.Request{URI: h.uri + ":v1"})
	require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	require.ErrorIs(t, v.err, errdef.ErrTooManyPages)
	require.Equal(t, 16, h.count("GET referrers/"))
}

// The registry's client decodes these pages by itself, and three bytes become some hundred.
func TestPartsOfPagesOfReferrersAreBounded(t *testing.T) {
	h := newHostile(t, nil)
	h.onBlob = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_, _ = w.Write([]byte(`{"manifests": [{}` + strings.Repeat(",{}", jsonparts.MaxManifest/2) +
			`]}`))
	}
	v := &referring{}
	_, err := newFetcher(t,
		module.Options{Sources: module.Sources{Insecure: []string{h.host}}, Verifier: v}).
		Get(t.Context(), module.Request{URI: h.uri + ":v1"})
	require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	require.ErrorContains(t, v.err, "it has more than 50000 parts")
}

// The verifier also judges files. It has only their digest to go by.
func TestVerificationOfFiles(t *testing.T) {
	bytes, digest := wasm("one")
	path := writeFile(t, string(bytes))
	v := &verifier{identity: "one", refuse: errors.New("not from a registry")}
	_, err := newFetcher(t, module.Options{Verifier: v}).Fetch(t.Context(), "file://"+path)
	require.Equal(t, module.CauseUnverified, module.CauseOf(err))
	require.Len(t, v.asked, 1)
	require.Equal(t, "file://"+path, v.asked[0].URI)
	require.Equal(t, digest, v.asked[0].Digest)
	require.Equal(t, bytes, v.asked[0].Bytes)
	_, err = v.asked[0].Beside(t.Context(), ".sigstore.json", 10)
	require.ErrorIs(t, err, errdef.ErrNotFound)
	require.NoError(t, os.WriteFile(path+".sigstore.json", []byte("0123456789"), 0o600))
	beside, err := v.asked[0].Beside(t.Context(), ".sigstore.json", 10)
	require.NoError(t, err)
	require.Equal(t, "0123456789", string(beside))
	_, err = v.asked[0].Beside(t.Context(), ".sigstore.json", 9)
	require.ErrorContains(t, err, "has 10 bytes, at most 9 are allowed")
	v.refuse = nil
	got, err := newFetcher(t, module.Options{Verifier: v}).Fetch(t.Context(), "file://"+path)
	require.NoError(t, err)
	require.Equal(t, digest, got.Digest)
	_, err = newFetcher(t, module.Options{}).
		Get(t.Context(), module.Request{URI: "file://" + path, Digest: "sha256:00"})
	require.Equal(t, module.CauseDigest, module.CauseOf(err))
}

// If a mirror has the policy but not its signatures, the source is asked.
func TestVerificationGoesOnToTheSource(t *testing.T) {
	original, mirror := registry.Start(t, registry.Options{}), registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	for _, r := range []*registry.Registry{original, mirror} {
		r.Push(t, "one", "v1", bytes)
	}
	signatures := original.Push(t, "one", "signatures", []byte("any"))
	v := &signed{tag: "signatures", want: signatures}
	f := newFetcher(t, module.Options{Verifier: v, Sources: module.Sources{
		Insecure: []string{original.Host, mirror.Host},
		Mirrors: []module.Mirror{{
			Prefix: "registry://" + original.Host + "/", Replacement: "registry://" + mirror.Host +
				"/",
		}},
	}})
	_, err := f.Fetch(t.Context(), "registry://"+original.Host+"/one:v1")
	require.NoError(t, err)
	require.Equal(t, []error{errdef.ErrNotFound, nil}, v.said)
}

type signed struct {
	tag, want string
	said      []error
}

func (s *signed) Identity(string) string { return "signed" }

func (s *signed) Verify(ctx context.Context, artifact module.Artifact) ([]byte, error) {
	descriptor, err := artifact.Source.Resolve(ctx, s.tag)
	if errors.Is(err, errdef.ErrNotFound) {
		s.said = append(s.said, errdef.ErrNotFound)
		return nil, err
	}
	s.said = append(s.said, err)
	if err == nil && descriptor.Digest.String() != s.want {
		return nil, errors.New("signed by somebody else")
	}
	return nil, err
}
