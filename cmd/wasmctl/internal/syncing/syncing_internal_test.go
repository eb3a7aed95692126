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

package syncing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// layer is one of a set.
func layer(name string, size int64) ocispec.Descriptor {
	return ocispec.Descriptor{
		Digest:      digest.FromString(name),
		Size:        size,
		Annotations: map[string]string{ocispec.AnnotationTitle: name},
	}
}

// What a registry says of a set is bounded before any of it is read.
func TestLayersRefused(t *testing.T) {
	set := func(layers ...ocispec.Descriptor) ocispec.Manifest {
		return ocispec.Manifest{
			MediaType:    ocispec.MediaTypeImageManifest,
			ArtifactType: ArtifactType,
			Layers:       layers,
		}
	}
	several := func(n int, size int64) (layers []ocispec.Descriptor) {
		for i := range n {
			layers = append(layers, layer(fmt.Sprintf("%d.yaml", i), size))
		}
		return layers
	}
	policy := set(layer("a.yaml", 1))
	policy.ArtifactType = ""
	index := set(layer("a.yaml", 1))
	index.MediaType = ocispec.MediaTypeImageIndex
	weak := layer("a.yaml", 1)
	weak.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e"
	for name, c := range map[string]struct {
		manifest ocispec.Manifest
		want     string
	}{
		"a policy": {policy, "it is no set of policies"},
		"an index": {index, "it is no set of policies"},
		"empty":    {set(), "it has 0 files"},
		"too many": {set(several(maxFiles+1, 1)...), "it has 1001 files"},
		"too large": {set(layer("a.yaml", maxFileBytes+1)),
			"a.yaml has 4194305 bytes, at most 4194304 are allowed"},
		"too large all": {set(several(maxBytes/maxFileBytes+1, maxFileBytes)...),
			"its files have more than 67108864 bytes"},
		"negative":   {set(layer("a.yaml", -1)), "a.yaml has -1 bytes"},
		"elsewhere":  {set(layer("../a.yaml", 1)), `it has a file called "../a.yaml"`},
		"absolute":   {set(layer("/etc/a.yaml", 1)), "it has a file called"},
		"hidden":     {set(layer(".a.yaml", 1)), "it has a file called"},
		"of no kind": {set(layer("a.sh", 1)), "it has a file called"},
		"without a name": {set(ocispec.Descriptor{Digest: weak.Digest}),
			`it has a file called ""`},
		"with a long name": {set(layer(strings.Repeat("a", 300)+".yaml", 1)),
			"it has a file called"},
		"twice": {set(layer("a.yaml", 1), layer("a.yaml", 1)),
			"it has two files called a.yaml"},
		"with another digest":  {set(weak), "only SHA-256 is supported"},
		"as large as they may": {set(several(maxBytes/maxFileBytes, maxFileBytes)...), ""},
		"as many as they may":  {set(several(maxFiles, 1)...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := json.Marshal(c.manifest)
			require.NoError(t, err)
			layers, err := layersOf(c.manifest.MediaType, content)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Len(t, layers, len(c.manifest.Layers))
		})
	}
	_, err := layersOf(ocispec.MediaTypeImageManifest, []byte("{"))
	require.ErrorContains(t, err, "its manifest cannot be read")
	content, err := json.Marshal(set(layer("a.yaml", 1)))
	require.NoError(t, err)
	_, err = layersOf("text/html", content)
	require.ErrorContains(t, err, `but the registry says that it is "text/html"`)
}

func TestReadDirectory(t *testing.T) {
	directory := t.TempDir()
	write := func(name string, size int64) {
		t.Helper()
		path := filepath.Join(directory, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		require.NoError(t, os.Truncate(path, size))
	}
	refuses := func(want string) {
		t.Helper()
		_, err := readDirectory(directory)
		require.ErrorContains(t, err, want)
	}
	write("README.md", 1)
	write(".hidden.yaml", 1)
	write("without", 1)
	refuses("there is no manifest")
	write("b.json", 1)
	write("a.yaml", 2)
	files, err := readDirectory(directory)
	require.NoError(t, err)
	require.Equal(t, []file{{"a.yaml", []byte{0, 0}}, {"b.json", []byte{0}}}, files)

	write("a b.yaml", 1)
	refuses("a b.yaml: rename it")
	require.NoError(t, os.Remove(filepath.Join(directory, "a b.yaml")))
	require.NoError(t, os.Mkdir(filepath.Join(directory, "c.yaml"), 0o700))
	refuses("c.yaml is not a regular file")
	require.NoError(t, os.Remove(filepath.Join(directory, "c.yaml")))
	write("c.yaml", maxFileBytes+1)
	refuses("c.yaml has more than 4194304 bytes")
	for n := range maxBytes / maxFileBytes {
		write(fmt.Sprintf("c%d.yaml", n), maxFileBytes)
	}
	write("c.yaml", 1)
	refuses("the manifests have 67108868 bytes")
	for n := range maxFiles {
		write(fmt.Sprintf("c%d.yaml", n), 0)
	}
	refuses("there are 1003 manifests")
	_, err = readDirectory(filepath.Join(directory, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Failures are told and tried again, until there are too many in a row.
func TestKeep(t *testing.T) {
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		attempts []error
		want     string
	}{
		"good":         {[]error{nil, nil, nil}, ""},
		"one fewer":    {[]error{bad, bad, bad, bad, bad, bad, bad, bad, bad}, ""},
		"not in a row": {[]error{bad, bad, bad, bad, bad, bad, bad, bad, bad, nil, bad}, ""},
		"too many in a row": {[]error{nil, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, nil},
			"10 attempts in a row have failed"},
		"too many from first": {[]error{bad, bad, bad, bad, bad, bad, bad, bad, bad, bad},
			"10 attempts in a row have failed"},
	} {
		t.Run(name, func(t *testing.T) {
			left, told := c.attempts, []error(nil)
			attempt := func(context.Context) (*Result, error) {
				err := left[0]
				left = left[1:]
				return &Result{}, err
			}
			err := Keep(t.Context(), attempt, func(_ *Result, err error) {
				told = append(told, err)
			}, func(context.Context) error {
				if len(left) == 0 {
					return context.Canceled
				}
				return nil
			})
			require.Equal(t, c.attempts[:len(c.attempts)-len(left)], told)
			if c.want == "" {
				require.NoError(t, err)
				require.Empty(t, left)
				return
			}
			require.EqualError(t, err, c.want)
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t,
		Keep(ended, func(ctx context.Context) (*Result, error) { return nil, ctx.Err() },
			func(*Result, error) {
				require.Fail(t, "an attempt that was given up is no failure")
			}, nil))
}

// Two of them would remove each other's files.
func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.d")
	d, err := openDirectory(path)
	require.NoError(t, err)
	_, err = openDirectory(path)
	require.ErrorContains(t, err, "somebody else syncs "+path)
	require.NoError(t, d.close())
	d, err = openDirectory(path)
	require.NoError(t, err)
	require.NoError(t, d.close())
}

// What fails once the link names a version leaves that version there.
func TestDiscard(t *testing.T) {
	d, err := openDirectory(filepath.Join(t.TempDir(), "policies.d"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.close()) })
	manifest := layer("manifest", 1)
	current, err := d.write(manifest, []file{{"a.yaml", []byte("a")}})
	require.NoError(t, err)
	require.NoError(t, d.change(current))
	refused, err := d.write(manifest, []file{{"a.yaml", []byte("b")}})
	require.NoError(t, err)
	for _, version := range []string{current, refused} {
		require.NoError(t, d.discard(version))
	}
	require.NoDirExists(t, refused)
	content, err := os.ReadFile(filepath.Join(d.path, "a.yaml"))
	require.NoError(t, err)
	require.Equal(t, "a", string(content))
}

// What sync did not make, it does not remove.
func TestOthersFilesStay(t *testing.T) {
	d, err := openDirectory(filepath.Join(t.TempDir(), "policies.d"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.close()) })
	mine := filepath.Join(d.versions(), "mine", "deep")
	require.NoError(t, os.MkdirAll(mine, 0o700))
	old := filepath.Join(d.versions(), "0123456789ab-42")
	require.NoError(t, os.Mkdir(old, 0o700))
	require.NoError(t, d.removeBut())
	require.DirExists(t, mine)
	require.NoDirExists(t, old)

	version, err := d.write(layer("manifest", 1), []file{{"a.yaml", []byte("a")}})
	require.NoError(t, err)
	for name, make := range map[string]func(path string) error{
		"a file":      func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		require.NoError(t, make(d.path+".new"))
		require.ErrorContains(t, d.change(version),
			d.path+".new is there and is no symbolic link: move it away", name)
		require.NoError(t, os.Remove(d.path+".new"))
	}
	require.NoError(t, d.change(version))
}

// A version that cannot be written leaves nothing behind, or a full disk would become fuller with
// each attempt.
func TestHalfAVersionIsRemoved(t *testing.T) {
	d, err := openDirectory(filepath.Join(t.TempDir(), "policies.d"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.close()) })
	_, err = d.write(layer("manifest", 1),
		[]file{{"a.yaml", []byte("a")}, {"a.yaml", []byte("twice")}})
	require.ErrorIs(t, err, os.ErrExist)
	entries, err := os.ReadDir(d.versions())
	require.NoError(t, err)
	require.Len(t, entries, 1) // the lock
}

// What is in the way is named, and is not taken for another that syncs.
func TestInTheWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.d")
	require.NoError(t, os.WriteFile(path+".versions", nil, 0o600))
	_, err := openDirectory(path)
	require.EqualError(t, err,
		"policyDirectory: "+path+".versions is there and is no directory: move it away")
	require.NoError(t, os.Remove(path+".versions"))
	require.NoError(t, os.MkdirAll(path+".versions/.lock", 0o700))
	_, err = openDirectory(path)
	require.ErrorContains(t, err, ".lock: is a directory")
	require.NotContains(t, err.Error(), "somebody else")
	_, err = openDirectory(filepath.Join(filepath.Dir(path), "none", "policies.d"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotContains(t, err.Error(), "\n")
}
