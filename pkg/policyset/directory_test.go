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

package policyset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadDirectory(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{"b.yaml", "a.json", "c.yml", ".hidden.yaml", "d.yaml~", "README.md", "e.YAML"} {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte(name), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(path, "below"), 0o700))
	read, err := readDirectory(path)
	require.NoError(t, err)
	require.Equal(t, []file{{"a.json", []byte("a.json")}, {"b.yaml", []byte("b.yaml")}, {"c.yml", []byte("c.yml")}}, read.files)
	require.Equal(t, []string{"README.md", "below", "e.YAML"}, read.ignored)
	require.Len(t, read.warnings(), 3)

	require.NoError(t, os.Rename(filepath.Join(path, "a.json"), filepath.Join(path, "z.json")))
	again, err := readDirectory(path)
	require.NoError(t, err)
	require.NotEqual(t, read.hash, again.hash)

	empty, err := readDirectory(t.TempDir())
	require.NoError(t, err)
	require.Equal(t, []string{"policyDirectory: holds no manifest"}, empty.warnings())
}

func TestReadDirectoryIsBounded(t *testing.T) {
	path := t.TempDir()
	for n := range maxManifestFiles + 1 {
		require.NoError(t, os.WriteFile(filepath.Join(path, fmt.Sprintf("%d.yaml", n)), nil, 0o600))
	}
	_, err := readDirectory(path)
	require.ErrorContains(t, err, "holds more than 1000 manifests")

	path = t.TempDir()
	for n := range maxDirectoryEntries + 1 {
		require.NoError(t, os.Symlink("nowhere", filepath.Join(path, fmt.Sprintf("%d", n))))
	}
	_, err = readDirectory(path)
	require.ErrorContains(t, err, "holds more than 10000 entries")

	path = t.TempDir()
	for _, name := range []string{"a.yaml", "b.yaml"} {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte(strings.Repeat(" ", maxManifestBytes/2+1)), 0o600))
	}
	_, err = readDirectory(path)
	require.ErrorContains(t, err, "b.yaml: ")
}

// What Kubernetes exchanges by one link is read as one: never a part from before and
// another from after.
func TestAVolumeIsReadAsOne(t *testing.T) {
	path := t.TempDir()
	const files = 10
	version := func(n int) {
		directory := filepath.Join(path, fmt.Sprintf("..v%d", n))
		require.NoError(t, os.Mkdir(directory, 0o700))
		for f := range files {
			require.NoError(t, os.WriteFile(filepath.Join(directory, fmt.Sprintf("%d.yaml", f)), []byte(fmt.Sprint(n)), 0o600))
		}
		require.NoError(t, os.Symlink(filepath.Base(directory), filepath.Join(path, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(path, "..data_tmp"), filepath.Join(path, "..data")))
		_ = os.RemoveAll(filepath.Join(path, fmt.Sprintf("..v%d", n-1))) // the first has none before
	}
	version(0)
	for f := range files {
		name := fmt.Sprintf("%d.yaml", f)
		require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(path, name)))
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := range 100 {
			version(n + 1)
		}
	})
	ended := make(chan struct{})
	go func() {
		writer.Wait()
		close(ended)
	}()
	whole := 0
	for done := false; !done; {
		select {
		case <-ended:
			done = true // and once more, when nothing changes any longer
		default:
		}
		read, err := readDirectory(path)
		if err != nil {
			continue // a bad change, which is looked at again
		}
		whole++
		require.Len(t, read.files, files)
		for _, file := range read.files {
			require.Equal(t, read.files[0].content, file.content)
		}
	}
	require.Positive(t, whole)
}
