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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/module"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

func TestOpenStoreRefuses(t *testing.T) {
	_, err := module.OpenStore("relative")
	require.ErrorContains(t, err, "is not an absolute path")
	for name, prepare := range map[string]func(path string) error{
		"has mode 0755":      func(path string) error { return os.Mkdir(path, 0o755) },
		"is not a directory": func(path string) error { return os.Symlink(t.TempDir(), path) },
		"sha256 has mode 07": func(path string) error {
			require.NoError(t, os.MkdirAll(filepath.Join(path, "sha256"), 0o700))
			return os.Chmod(filepath.Join(path, "sha256"), 0o770)
		},
	} {
		path := filepath.Join(t.TempDir(), "modules")
		require.NoError(t, prepare(path))
		_, err := module.OpenStore(path)
		require.ErrorContains(t, err, name)
		_, err = module.OpenStore(path + "/")
		require.ErrorContains(t, err, name)
	}
}

func TestStore(t *testing.T) {
	store, directory := newStore(t)
	bytes, digest := wasm("one")
	_, err := store.Get(digest, maxBytes)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, store.Put(&module.Module{Bytes: bytes, Digest: digest}))
	got, err := store.Get(digest, int64(len(bytes)))
	require.NoError(t, err)
	require.Equal(t, bytes, got)
	_, err = store.Get(digest, int64(len(bytes))-1)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "has 11 bytes, at most 10 are allowed")
	_, err = store.Get(digest, maxBytes)
	require.NoError(t, err, "that does not count as damage")

	require.ErrorContains(t, store.Put(&module.Module{Bytes: []byte("two"), Digest: digest}),
		"its digest is not")
	for _, digest := range []string{
		"", "sha256:", "sha256:../../x", "sha256:" + strings.Repeat("A", 64),
	} {
		require.Error(t, store.Put(&module.Module{Bytes: bytes, Digest: digest}))
		_, err := store.Get(digest, maxBytes)
		require.ErrorContains(t, err, "is not sha256:")
	}
	info, err :=
		os.Stat(filepath.Join(directory, "sha256", strings.TrimPrefix(digest, "sha256:")+".wasm"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode())

	var none *module.Store
	require.NoError(t, none.Put(&module.Module{Bytes: bytes, Digest: digest}))
	_, err = none.Get(digest, maxBytes)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, none.Collect(nil))
}

func TestCollect(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	store, directory := newStore(t)
	f := newFetcher(t, module.Options{Sources: trusting(r), Store: store})
	var digests []string
	for _, name := range []string{"one", "two"} {
		bytes, digest := wasm(name)
		r.Push(t, name, "v1", bytes)
		_, err := f.Fetch(t.Context(), "registry://"+r.Host+"/"+name+":v1")
		require.NoError(t, err)
		digests = append(digests, digest)
	}
	temporary := filepath.Join(directory, "sha256", ".tmp-1")
	require.NoError(t, os.WriteFile(temporary, nil, 0o600))
	old := filepath.Join(directory, "index", ".tmp-2")
	require.NoError(t, os.WriteFile(old, nil, 0o600))
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-2*time.Hour)))
	require.NoError(t, os.WriteFile(filepath.Join(directory, "index", "foreign"), nil, 0o600))
	count := func(name string) int {
		files, err := os.ReadDir(filepath.Join(directory, name))
		require.NoError(t, err)
		return len(files)
	}
	require.Equal(t, 3, count("sha256"))
	require.Equal(t, 6, count("index"))

	require.NoError(t, store.Collect(digests[1:]))
	require.Equal(t, 2, count("sha256"), "one module, and one that is being written")
	require.Equal(t, 2, count("index"), "its tag and its manifest")
	r.Stop()
	_, err := f.Fetch(t.Context(), "registry://"+r.Host+"/two:v1")
	require.NoError(t, err)
	module.Forget(f)
	_, err = f.Fetch(t.Context(), "registry://"+r.Host+"/one:v1")
	require.Equal(t, module.CauseUnreachable, module.CauseOf(err))
	require.NoError(t, store.Collect(nil))
	require.Equal(t, 1, count("sha256"))
	require.Equal(t, 0, count("index"))
}

// Nobody ever sees part of a module, whoever writes and removes modules meanwhile.
func TestStoreIsSafeForManyAtATime(t *testing.T) {
	_, directory := newStore(t)
	bytes, digest := wasm(strings.Repeat("x", 1<<20))
	var group sync.WaitGroup
	for range 4 {
		store, err := module.OpenStore(directory) // like another process
		require.NoError(t, err)
		group.Go(func() {
			for range 5 {
				if err := store.Put(&module.Module{Bytes: bytes, Digest: digest}); err != nil {
					t.Error(err)
				}
				if got, err := store.Get(digest, 2<<20); err == nil && len(got) != len(bytes) {
					t.Error("part of a module")
				} else if err != nil && strings.Contains(err.Error(), "damaged") {
					t.Error(err)
				}
				if err := store.Collect(nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// A module that cannot be stored can still be used.
func TestReadOnlyStore(t *testing.T) {
	r := registry.Start(t, registry.Options{})
	bytes, _ := wasm("one")
	r.Push(t, "one", "v1", bytes)
	store, directory := newStore(t)
	for _, name := range []string{"sha256", "index"} { // missing, which stops root, too
		require.NoError(t, os.Remove(filepath.Join(directory, name)))
	}
	ctx, log := logged(t)
	got, err := newFetcher(t, module.Options{Sources: trusting(r), Store: store}).
		Fetch(ctx, "registry://"+r.Host+"/one:v1")
	require.NoError(t, err)
	require.Equal(t, bytes, got.Bytes)
	require.Contains(t, log(), "Cannot store a module")
}
