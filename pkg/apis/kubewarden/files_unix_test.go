//go:build unix

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

package kubewarden_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
)

func paths(files kubewarden.Files) []string {
	var paths []string
	for _, file := range files {
		paths = append(paths, filepath.Base(file.Path))
	}
	return paths
}

func TestReadFiles(t *testing.T) {
	directory := t.TempDir()
	for _, name := range []string{
		"c.json", "a.yaml", "b.yml", ".hidden.yaml", "README.md", "a.yaml.bak", "a.yaml~", "yaml",
		"e.YAML",
	} {
		write(t, filepath.Join(directory, name), name)
	}
	require.NoError(t, os.Mkdir(filepath.Join(directory, "more"), 0o755))
	write(t, filepath.Join(directory, "more", "d.yaml"), "")
	files, warnings, err := kubewarden.ReadFiles(directory)
	require.NoError(t, err)
	require.Equal(t, []string{"a.yaml", "b.yml", "c.json"}, paths(files))
	passedOver := func(name, why string) string {
		return fmt.Sprintf("%q is not read, and nothing in it is enforced: %s",
			filepath.Join(directory, name), why)
	}
	require.Equal(t, []string{
		passedOver("README.md", "manifests end with .json, .yaml, .yml"),
		passedOver("a.yaml.bak", "manifests end with .json, .yaml, .yml"),
		passedOver("e.YAML", "write its extension as .yaml"),
		passedOver("more",
			"it is a directory, and manifests have to be in the policy directory itself"),
		passedOver("yaml", "manifests end with .json, .yaml, .yml"),
	}, warnings)
	require.Equal(t, kubewarden.File{
		Path:    filepath.Join(directory, "b.yml"),
		Content: []byte("b.yml"),
	}, files[1])
}

// The number of named entries is bounded.
func TestReadFilesPassesOverMany(t *testing.T) {
	directory := t.TempDir()
	for n := range 25 {
		write(t, filepath.Join(directory, fmt.Sprintf("%02d.txt", n)), "")
	}
	_, warnings, err := kubewarden.ReadFiles(directory)
	require.NoError(t, err)
	require.Len(t, warnings, 21)
	require.Equal(t, "5 more entries of "+directory+
		" are not read, and nothing in them is enforced", warnings[20])
}

// Kubernetes replaces the content of a ConfigMap volume by switching symbolic links.
func TestReadFilesOfConfigMap(t *testing.T) {
	directory := t.TempDir()
	for _, version := range []string{"1", "2"} {
		require.NoError(t, os.Mkdir(filepath.Join(directory, "..2026_"+version), 0o755))
		write(t, filepath.Join(directory, "..2026_"+version, "a.yaml"), version)
	}
	require.NoError(t, os.Symlink("..2026_1", filepath.Join(directory, "..data")))
	require.NoError(t, os.Symlink("..data/a.yaml", filepath.Join(directory, "a.yaml")))
	first, _, err := kubewarden.ReadFiles(directory)
	require.NoError(t, err)
	require.Equal(t,
		kubewarden.Files{{Path: filepath.Join(directory, "a.yaml"), Content: []byte("1")}}, first)

	require.NoError(t, os.Symlink("..2026_2", filepath.Join(directory, "..data_tmp")))
	require.NoError(t,
		os.Rename(filepath.Join(directory, "..data_tmp"), filepath.Join(directory, "..data")))
	second, _, err := kubewarden.ReadFiles(directory)
	require.NoError(t, err)
	require.Equal(t, "2", string(second[0].Content))
	require.NotEqual(t, first.Hash(), second.Hash())
}

func TestReadFilesRefuses(t *testing.T) {
	directory := t.TempDir()
	write(t, filepath.Join(directory, "a.yaml"), "")
	write(t, filepath.Join(directory, "b.yaml"), "")
	require.NoError(t, os.Chmod(filepath.Join(directory, "a.yaml"), 0o666))
	require.NoError(t, os.Mkdir(filepath.Join(directory, "c.yaml"), 0o755))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(directory, "d.yaml")))
	files, _, err := kubewarden.ReadFiles(directory)
	require.EqualError(t, err, "reading a manifest: "+directory+
		"/a.yaml has mode 0666: group and others must not be able to write it (chmod go-w "+
		directory+"/a.yaml)\n"+
		"reading a manifest: "+directory+"/c.yaml is not a regular file\n"+
		"reading a manifest: open "+directory+"/d.yaml: lstat "+directory+
		"/nowhere: no such file or directory")
	require.Equal(t, []string{"b.yaml"}, paths(files))

	require.NoError(t, os.Chmod(directory, 0o777))
	_, _, err = kubewarden.ReadFiles(directory)
	require.ErrorContains(t, err, "policyDirectory: cannot be read: "+directory+
		" has mode 0777: group and others must not be able to write it")
	_, _, err = kubewarden.ReadFiles("policies.d")
	require.EqualError(t, err,
		`policyDirectory: cannot be read: "policies.d" is not an absolute path`)
	_, err = readDirectory(filepath.Join(directory, "none"), configuration(t, ""))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReadFilesLimits(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "a.yaml")
	write(t, path, "")
	require.NoError(t, os.Truncate(path, 4<<20))
	_, _, err := kubewarden.ReadFiles(directory)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 4<<20+1))
	_, _, err = kubewarden.ReadFiles(directory)
	require.EqualError(t, err,
		"reading a manifest: "+path+" has 4194305 bytes, at most 4194304 are allowed")

	require.NoError(t, os.Truncate(path, 4<<20))
	for i := range 15 {
		require.NoError(t,
			os.Link(path, filepath.Join(directory, strings.Repeat("b", i+1)+".yaml")))
	}
	_, _, err = kubewarden.ReadFiles(directory)
	require.NoError(t, err)
	write(t, filepath.Join(directory, "c.yaml"), "x")
	_, _, err = kubewarden.ReadFiles(directory)
	require.EqualError(t, err, "the manifests in "+directory+
		" have more than 67108864 bytes: remove some")

	directory = t.TempDir()
	for i := range 1001 {
		require.NoError(t, os.WriteFile(filepath.Join(directory, strconv.Itoa(i)), nil, 0o600))
	}
	_, _, err = kubewarden.ReadFiles(directory)
	require.EqualError(t, err, "policyDirectory: cannot be read: "+directory+
		" holds more than 1000 entries")
}

func TestHash(t *testing.T) {
	file := func(path, content string) kubewarden.File {
		return kubewarden.File{Path: path, Content: []byte(content)}
	}
	hashes := map[string]int{}
	for i, files := range []kubewarden.Files{
		nil, {file("a", "")}, {file("b", "")}, {file("a", "b")}, {file("", "ab")}, {file("ab", "")},
		{file("a", ""), file("b", "")}, {file("b", ""), file("a", "")},
	} {
		require.NotContains(t, hashes, files.Hash(), i)
		require.Len(t, files.Hash(), 64)
		hashes[files.Hash()] = i
	}
	require.Equal(t, kubewarden.Files{file("/one/a", "b")}.Hash(),
		kubewarden.Files{file("/other/a", "b")}.Hash(), "servers may have them in different places")
	manifests, err := decode(t, "a.yaml", "")
	require.NoError(t, err)
	require.Equal(t, kubewarden.Files{file("a.yaml", "")}.Hash(), manifests.Hash)
}
