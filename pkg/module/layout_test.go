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
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/errdef"

	"github.com/wasm-admission/wasm-admission/pkg/layout"
	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// No registry has this host, so requests to it fail.
const (
	inRegistry = "registry://registry.invalid/policies/one:v1"
	onServer   = "https://registry.invalid/policies/one.wasm"
)

// writeLayout writes a layout with a module, once as a registry's and once as a server's. It
// returns the digest of its manifest in the registry.
func writeLayout(t *testing.T, directory string, wasm []byte) string {
	t.Helper()
	require.NoError(t, os.RemoveAll(directory))
	w, err := layout.NewWriter(directory)
	require.NoError(t, err)
	blob := func(mediaType, title string, content []byte) ocispec.Descriptor {
		d, err := w.Blob(mediaType, content)
		require.NoError(t, err)
		if title != "" {
			d.Annotations = map[string]string{ocispec.AnnotationTitle: title}
		}
		return d
	}
	manifest := func(annotation, name string, layers ...ocispec.Descriptor) string {
		content, err := json.Marshal(registry.Manifest(layers...))
		require.NoError(t, err)
		entry := blob(ocispec.MediaTypeImageManifest, "", content)
		entry.Annotations = map[string]string{annotation: name}
		require.NoError(t, w.Entry(entry))
		return entry.Digest.String()
	}
	blob(registry.ConfigMediaType, "", []byte("{}"))
	manifest(layout.AnnotationURI, onServer, blob(registry.LayerMediaType, "one.wasm", wasm),
		blob("any", "one.wasm.note", []byte("a note")))
	in := manifest(ocispec.AnnotationRefName, "registry.invalid/policies/one:v1",
		blob(registry.LayerMediaType, "", wasm))
	require.NoError(t, w.Close())
	return in
}

func writeTar(t *testing.T, directory string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, layout.WriteTar(&b, directory))
	return writeFile(t, b.String())
}

// The evidence for a module in a layout is judged as it was accepted: by its manifest, if it has
// one.
func TestProofsOfModulesInLayouts(t *testing.T) {
	content, _ := wasm("one")
	directory := filepath.Join(t.TempDir(), "layout")
	manifest := writeLayout(t, directory, content)
	v := &verifier{identity: "one", evidence: "1", accepts: "1"}
	for _, test := range []struct {
		uri        string
		everything bool
		repository string // "" is a file
	}{
		{"oci-layout://" + directory + ":registry.invalid/policies/one:v1", false,
			"registry.invalid/policies/one"},
		{"oci-layout://" + directory + "@" + manifest, false, directory},
		{inRegistry, true, "registry.invalid/policies/one"},
		{onServer, true, ""},
	} {
		sources, request := module.Sources{}, module.Request{URI: test.uri}
		if test.everything {
			sources.Layout = directory
		}
		got, err := newFetcher(t, module.Options{Sources: sources, Verifier: v}).
			Get(t.Context(), request)
		require.NoError(t, err)
		asked := v.asked[len(v.asked)-1]
		require.NoError(t, got.Proof.Verify(t.Context(), v, request, got))
		shown := v.shown[len(v.shown)-1]
		require.Equal(t, test.repository, shown.Repository)
		require.Equal(t, asked.Repository, shown.Repository)
		require.Equal(t, asked.Manifest, shown.Manifest)
		require.Equal(t, asked.Bytes, shown.Bytes)
	}
	pinned := module.Request{
		URI: "oci-layout://" + directory + "@sha256:" + strings.Repeat("0", 64),
	}
	got, err := newFetcher(t, module.Options{Verifier: v}).
		Get(t.Context(), module.Request{URI: "oci-layout://" + directory + "@" + manifest})
	require.NoError(t, err)
	require.ErrorContains(t, got.Proof.Verify(t.Context(), v, pinned, got),
		"does not name the module")
}

// A module in a layout is named by the layout and by its name in the layout's index.
func TestModulesInLayouts(t *testing.T) {
	content, digest := wasm("one")
	directory := filepath.Join(t.TempDir(), "layout")
	manifest := writeLayout(t, directory, content)
	for _, path := range []string{directory, writeTar(t, directory)} {
		f := newFetcher(t, module.Options{})
		for _, name := range []string{
			":registry.invalid/policies/one:v1", "@" + manifest, ":registry.invalid/policies/one@" +
				manifest,
		} {
			got, err := f.Get(t.Context(),
				module.Request{URI: "oci-layout://" + path + name, Digest: digest})
			require.NoError(t, err)
			require.Equal(t, &module.Module{Bytes: content, Digest: digest, Revision: manifest},
				got)
		}
		for uri, cause := range map[string]module.Cause{
			"oci-layout://" + path + ":v1":       module.CauseNotFound,
			"oci-layout://" + path:               module.CauseInvalid,
			"oci-layout://layout:v1":             module.CauseInvalid,
			"oci-layout:///none/layout:v1":       module.CauseOther,
			"oci-layout://" + path + "@sha256:0": module.CauseInvalid,
		} {
			_, err := f.Get(t.Context(), module.Request{URI: uri})
			require.Equal(t, cause, module.CauseOf(err), "%v", err)
			require.ErrorContains(t, err, "fetch "+uri+": ")
		}
	}
}

// With a configured layout, nobody is contacted, and what is not in it is not found.
func TestTheLayoutThatHasEverything(t *testing.T) {
	content, digest := wasm("one")
	directory := filepath.Join(t.TempDir(), "layout")
	manifest := writeLayout(t, directory, content)
	for _, path := range []string{directory, writeTar(t, directory)} {
		store, _ := newStore(t)
		v := &verifier{identity: "one"}
		f := newFetcher(t,
			module.Options{Sources: module.Sources{Layout: path}, Store: store, Verifier: v})
		for _, uri := range []string{
			inRegistry, onServer, "registry://registry.invalid/policies/one@" + manifest,
		} {
			got, err := f.Get(t.Context(), module.Request{URI: uri, Digest: digest})
			require.NoError(t, err)
			require.Equal(t, content, got.Bytes)
			require.Equal(t, "one", got.VerifiedBy)
			same, err := f.Get(t.Context(), module.Request{URI: uri, Have: got})
			require.NoError(t, err)
			require.Same(t, got, same, "a known module is not read again")
			_, err = f.Get(t.Context(),
				module.Request{URI: uri, Have: got, Digest: digestOf("other")})
			require.ErrorAs(t, err, new(*module.DigestError))
			_, err = f.Get(t.Context(), module.Request{URI: uri, Digest: digestOf("other")})
			require.ErrorAs(t, err, new(*module.DigestError))
		}
		require.Equal(t, "registry.invalid/policies/one", v.asked[0].Repository)
		require.Equal(t, manifest, v.asked[0].Manifest.Digest.String())
		beside := v.asked[1].Beside
		note, err := beside(t.Context(), ".note", 6)
		require.NoError(t, err)
		require.Equal(t, "a note", string(note))
		_, err = beside(t.Context(), ".note", 5)
		require.Equal(t, module.CauseTooLarge, module.CauseOf(err))
		_, err = beside(t.Context(), ".sigstore.json", 100)
		require.ErrorIs(t, err, errdef.ErrNotFound)

		for _, absent := range []string{
			"registry://registry.invalid/policies/one:v2",
			"registry://registry.invalid/policies/two:v1", onServer + "x",
		} {
			_, err := f.Get(t.Context(), module.Request{URI: absent})
			require.Equal(t, module.CauseNotFound, module.CauseOf(err))
			require.ErrorContains(t, err, "layout "+path)
		}
		v.refuse, v.identity = errors.New("signed by nobody"), "two"
		for _, uri := range []string{inRegistry, onServer} {
			_, err := f.Get(t.Context(), module.Request{URI: uri})
			require.Equal(t, module.CauseUnverified, module.CauseOf(err))
		}
	}
	_, err := module.NewFetcher(module.Options{
		MaxBytes: 1,
		Sources:  module.Sources{Layout: "layout"},
	})
	require.ErrorContains(t, err, `sources.layout: "layout" is not an absolute path`)
}

// A replaced layout is noticed, and so are moved tags.
func TestLayoutsChange(t *testing.T) {
	one, _ := wasm("one")
	two, digest := wasm("two")
	directory := filepath.Join(t.TempDir(), "layout")
	writeLayout(t, directory, one)
	tar := writeTar(t, directory)
	for _, path := range []string{directory, tar} {
		f := newFetcher(t, module.Options{Sources: module.Sources{Layout: path}})
		for _, uri := range []string{inRegistry, onServer} {
			writeLayout(t, directory, one)
			require.NoError(t, os.Rename(writeTar(t, directory), tar))
			have, err := f.Get(t.Context(), module.Request{URI: uri})
			require.NoError(t, err)
			require.Equal(t, one, have.Bytes)
			writeLayout(t, directory, two)
			require.NoError(t, os.Rename(writeTar(t, directory), tar))
			got, err := f.Get(t.Context(), module.Request{URI: uri, Have: have})
			require.NoError(t, err)
			require.Equal(t, digest, got.Digest)
		}
	}
}

// Whatever was changed in a layout, it yields what its index says or nothing. The store does not
// bypass this.
func TestTamperedLayouts(t *testing.T) {
	content, digest := wasm("one")
	other, _ := wasm("two")
	require.Len(t, other, len(content))
	for name, test := range map[string]struct {
		tamper func(module, manifest string)
		cause  module.Cause
	}{
		"module changed": {func(module, _ string) {
			require.NoError(t, os.WriteFile(module, other, 0o600))
		}, module.CauseDigest},
		"module longer": {func(module, _ string) {
			require.NoError(t, os.WriteFile(module, append(content, 0), 0o600))
		}, module.CauseDigest},
		"module gone": {func(module, _ string) { require.NoError(t, os.Remove(module)) },
			module.CauseNotFound},
		"manifest changed": {func(_, manifest string) {
			require.NoError(t, os.WriteFile(manifest, []byte("{}"), 0o600))
		}, module.CauseDigest},
		"manifest gone": {func(_, manifest string) { require.NoError(t, os.Remove(manifest)) },
			module.CauseNotFound},
	} {
		directory := filepath.Join(t.TempDir(), "layout")
		blob := func(digest string) string {
			return filepath.Join(directory, "blobs", "sha256", digest[len("sha256:"):])
		}
		manifest := writeLayout(t, directory, content)
		test.tamper(blob(digest), blob(manifest))
		store, _ := newStore(t)
		require.NoError(t, store.Put(&module.Module{Bytes: content, Digest: digest}))
		_, err := newFetcher(t,
			module.Options{Sources: module.Sources{Layout: directory}, Store: store}).
			Get(t.Context(), module.Request{URI: inRegistry})
		require.Equal(t, test.cause, module.CauseOf(err), "%s: %v", name, err)
		require.NotContains(t, err.Error(), "\n")
	}
}

func digestOf(content string) string { return digest.FromString(content).String() }
