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

package codecache_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"golang.org/x/sys/unix"

	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/codecache"
)

const mountVariable = "CODECACHE_TEST_MOUNT"

// TestFullAndReadOnlyDisks runs itself again in a process that may mount its own small file system.
// File modes do not keep root out, and a file is never full.
func TestFullAndReadOnlyDisks(t *testing.T) {
	if mount := os.Getenv(mountVariable); mount != "" {
		directory := filepath.Join(mount, "compiled")
		require.NoError(t, unix.Mount("tmpfs", mount, "tmpfs", 0, "size=256k,mode=0700"))
		require.NoError(t, os.Mkdir(directory, 0o700))
		t.Run("full", func(t *testing.T) { onFullDisk(t, directory) })
		require.NoError(t, unix.Mount("", mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		t.Run("read-only", func(t *testing.T) { onReadOnlyDisk(t, directory) })
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), mountVariable+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	output, err := child.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("user namespaces, needed to mount a small disk, are forbidden or missing here:", err)
	}
	require.NoError(t, err, "%s", output)
	for _, name := range []string{"full", "read-only"} {
		require.Contains(t, string(output), "--- PASS: "+t.Name()+"/"+name)
	}
}

func onFullDisk(t *testing.T, directory string) {
	c, _ := open(t, directory, 0)
	put(t, c, "before", 10)
	filler := filepath.Join(filepath.Dir(directory), "filler")
	fill := func() {
		require.ErrorIs(t, os.WriteFile(filler, make([]byte, 1<<20), 0o600), unix.ENOSPC)
	}

	// There is no room for the code.
	e, err := c.Entry(t.Context(), codecache.KeyOf(moduleThatAnswers(7)))
	require.NoError(t, err)
	fill()
	compilations, err := wazero.NewCompilationCacheWithDir(e.Directory())
	require.NoError(t, err)
	r := wazero.NewRuntimeWithConfig(t.Context(),
		wazero.NewRuntimeConfigCompiler().WithCompilationCache(compilations))
	_, err = r.CompileModule(t.Context(), moduleThatAnswers(7))
	require.ErrorIs(t, err, unix.ENOSPC)
	require.Error(t, e.Commit())
	e.Close()
	require.NoError(t, r.Close(t.Context()))
	require.NoError(t, os.Remove(filler))

	// There is no room for the manifest.
	e, err = c.Entry(t.Context(), key("a"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(e.Directory(), "code"), []byte("code"), 0o600))
	fill()
	err = e.Commit()
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, "keep compiled code "+key("a").String())
	e.Close()
	require.Len(t, namesIn(t, directory), 2,
		"an entry that could not be kept leaves nothing behind")

	require.Equal(t, []string{"before"}, found(t, c, "before"), "existing entries can be used")
	require.NoError(t, os.Remove(filler))
	put(t, c, "a", 10)
	_, wasFound := use(t, c, moduleThatAnswers(7))
	require.False(t, wasFound)
}

func onReadOnlyDisk(t *testing.T, directory string) {
	_, err := codecache.Open(directory, codecache.Options{})
	require.ErrorIs(t, err, unix.EROFS)
	require.True(t, strings.HasPrefix(err.Error(), "directory for compiled code: "), err)
	_, err = codecache.Open(directory+"-missing", codecache.Options{})
	require.ErrorIs(t, err, unix.EROFS)
}
