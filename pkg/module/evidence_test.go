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
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// What is too large to be kept is asked for again.
func TestEvidenceIsBounded(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	store, directory := newStore(t)
	v := &verifier{identity: "one", evidence: strings.Repeat("1", 12<<20), accepts: strings.Repeat("1", 12<<20)}
	ctx, log := logged(t)
	for n := range 2 {
		_, err := newFetcher(t, module.Options{Sources: trusting(r), Store: store, Verifier: v}).Get(ctx, module.Request{URI: "registry://" + r.Host + "/one:v1"})
		require.NoError(t, err)
		require.Len(t, v.asked, n+1)
	}
	files, err := filepath.Glob(filepath.Join(directory, "evidence", "*"))
	require.NoError(t, err)
	require.Empty(t, files)
	require.Contains(t, log(), "at most 16777216 are kept")
}

// Whoever can write to the store has no module accepted that was not signed.
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
			replaceIn(t, filepath.Join(directory, "index", "*.json"), `"digest": "sha256:[0-9a-f]{64}"`, `"digest": "`+evilDigest+`"`)
		},
		"the manifest is another": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `"manifest":"[^"]+"`, `"manifest":"e30="`)
		},
		"the evidence is another": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `"evidence":"[^"]+"`, `"evidence":"e30="`)
		},
		"the evidence is gone": func(t *testing.T, directory string) {
			t.Helper()
			require.NoError(t, os.RemoveAll(filepath.Join(directory, "evidence")))
		},
		"the evidence is of another URI": func(t *testing.T, directory string) {
			t.Helper()
			replaceIn(t, filepath.Join(directory, "evidence", "*.json"), `"uri":"[^"]+"`, `"uri":"registry://a/b:c"`)
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
			first, err := newFetcher(t, module.Options{Sources: trusting(r), Store: store, Verifier: v}).Get(t.Context(), request)
			require.NoError(t, err)
			tamper(t, directory)
			asked := len(v.asked)
			got, err := newFetcher(t, module.Options{Sources: trusting(r), Store: store, Verifier: v}).Get(t.Context(), request)
			require.NoError(t, err, "it is asked for again")
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
		require.NoError(t, os.WriteFile(path, regexp.MustCompile(pattern).ReplaceAll(content, []byte(with)), 0o600))
	}
}
