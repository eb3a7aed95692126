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
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// Evidence that is too large to store is requested again.
func TestEvidenceIsBounded(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	store, directory := newStore(t)
	v := &verifier{
		identity: "one",
		evidence: strings.Repeat("1", 12<<20),
		accepts:  strings.Repeat("1", 12<<20),
	}
	ctx, log := logged(t)
	for n := range 2 {
		_, err := newFetcher(t, module.Options{Sources: trusting(r), Store: store, Verifier: v}).
			Get(ctx, module.Request{URI: "registry://" + r.Host + "/one:v1"})
		require.NoError(t, err)
		require.Len(t, v.asked, n+1)
	}
	files, err := filepath.Glob(filepath.Join(directory, "evidence", "*"))
	require.NoError(t, err)
	require.Empty(t, files)
	require.Contains(t, log(), "at most 16777216 are stored")
}

// Someone who can write to the store cannot get an unsigned module accepted.
func TestTamperedStores(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	good, _ := wasm("good")
	evil, evilDigest := wasm("evil")
	r.Push(t, "one", "good", good)
	r.Push(t, "one", "evil", evil)
	v := &verifier{identity: "one", evidence: "1", accepts: "1"}
	for name, tamper := range map[string]func(t *testing.T, directory string){
		"an entry names another module": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "index", "*.json"),
				`"digest": "sha256:[0-9a-f]{64}"`, `"digest": "`+evilDigest+`"`)
		},
		"the manifest is another": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `"manifest":"[^"]+"`,
				`"manifest":"e30="`)
		},
		"the evidence is another": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `"evidence":"[^"]+"`,
				`"evidence":"e30="`)
		},
		"the evidence is gone": func(t *testing.T, directory string) {
			t.Helper()
			require.NoError(t, os.RemoveAll(filepath.Join(directory, "evidence")))
		},
		"the evidence is of another URI": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `"uri":"[^"]+"`,
				`"uri":"registry://a/b:c"`)
		},
		"the evidence is no JSON": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `(?s).*`, `{`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, directory := newStore(t)
			_, err := module.NewFetcher(module.Options{MaxBytes: 1 << 20, Store: store})
			require.NoError(t, err)
			require.NoError(t, store.Put(&module.Module{Bytes: evil, Digest: evilDigest}))
			request := module.Request{URI: "registry://" + r.Host + "/one:good"}
			first, err := newFetcher(t, module.Options{
				Sources:  trusting(r),
				Store:    store,
				Verifier: v,
			}).Get(t.Context(), request)
			require.NoError(t, err)
			tamper(t, directory)
			asked := len(v.asked)
			got, err := newFetcher(t, module.Options{
				Sources:  trusting(r),
				Store:    store,
				Verifier: v,
			}).Get(t.Context(), request)
			require.NoError(t, err, "the evidence is requested again")
			require.Len(t, v.asked, asked+1)
			require.Equal(t, first.Digest, got.Digest)
		})
	}
}

// replaceIn replaces what a pattern matches in files.
func replaceIn(t *testing.T, files, pattern, with string) {
	t.Helper()
	paths, err := filepath.Glob(files)
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t,
			os.WriteFile(path, regexp.MustCompile(pattern).ReplaceAll(content, []byte(with)),
				0o600))
	}
}

// A proof alone is enough to judge a module again, wherever it was kept, and nothing else is: the
// chain from what was signed to the bytes is followed.
func TestProofs(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	good, _ := wasm("good")
	other, otherDigest := wasm("other")
	manifest := r.Push(t, "one", "v1", good)
	path := filepath.Join(t.TempDir(), "good.wasm")
	require.NoError(t, os.WriteFile(path, good, 0o600))
	store, _ := newStore(t)
	for _, uri := range []string{
		"registry://" + r.Host + "/one:v1", "registry://" + r.Host + "/one@" + manifest,
		"file://" + path,
	} {
		t.Run(uri, func(t *testing.T) {
			request := module.Request{URI: uri}
			v := &verifier{identity: "one", evidence: "1", accepts: "1"}
			options := module.Options{Sources: trusting(r), Store: store, Verifier: v}
			first, err := newFetcher(t, options).Get(t.Context(), request)
			require.NoError(t, err)
			stored, err := newFetcher(t, options).Get(t.Context(), request)
			require.NoError(t, err)
			require.Equal(t, first.Proof, stored.Proof, "the proof also comes from the store")

			proof := first.Proof
			require.NoError(t, proof.Verify(t.Context(), v, request, first))
			require.NoError(t,
				proof.Verify(t.Context(), &verifier{identity: "two", accepts: "1"}, request, first),
				"under another identity")
			require.ErrorContains(t,
				proof.Verify(t.Context(), &verifier{identity: "two", accepts: "2"}, request, first),
				"not verified: ")
			require.ErrorIs(t, (&module.Proof{}).Verify(t.Context(), v, request, first),
				fs.ErrNotExist)
			require.ErrorContains(t,
				proof.Verify(t.Context(), v, request,
					&module.Module{Bytes: other, Digest: first.Digest}), otherDigest)
			if strings.HasPrefix(uri, "registry://") {
				require.ErrorContains(t,
					proof.Verify(t.Context(), v, request,
						&module.Module{Bytes: other, Digest: otherDigest}),
					"does not name the module")
				pinned := module.Request{
					URI: "registry://" + r.Host + "/one@sha256:" + strings.Repeat("0", 64),
				}
				require.ErrorContains(t, proof.Verify(t.Context(), v, pinned, first),
					"does not name the module")
				proof.Manifest = []byte("{}")
				require.Error(t, proof.Verify(t.Context(), v, request, first))
			}

			v.evidence = strings.Repeat("1", 1<<20+1)
			v.accepts, v.identity = v.evidence, "large"
			large, err := newFetcher(t, module.Options{Sources: trusting(r), Verifier: v}).
				Get(t.Context(), request)
			require.NoError(t, err)
			require.Empty(t, large.Proof, "the proof is not held in memory")
		})
	}
}
