//go:build linux

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

package engine_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const mountVariable = "ENGINE_TEST_MOUNT"

// TestFullDisks runs itself again in a process that may mount its own small file system. A full or
// read-only disk must not make the engine compile in this process.
func TestFullDisks(t *testing.T) {
	if mount := os.Getenv(mountVariable); mount != "" {
		require.NoError(t, unix.Mount("tmpfs", mount, "tmpfs", 0, "size=256k,mode=0700"))
		directory := filepath.Join(mount, "compiled")
		e, n, log := inChildren(t, engine.Options{CacheDirectory: directory})
		filler := filepath.Join(mount, "filler")
		require.ErrorIs(t, os.WriteFile(filler, make([]byte, 1<<20), 0o600), unix.ENOSPC)
		_, err := e.Load(t.Context(), binary(t, "names"), testABI)
		require.ErrorContains(t, err, "load: compiling in a child process: ")
		require.ErrorContains(t, err, "no space left on device")
		require.NotContains(t, log.String(), "Compiling in memory")
		require.Zero(t, n.compilations[engine.CompilationOK])
		require.NoError(t, os.Remove(filler))
		answers(t, e)
		require.NoError(t, e.Close())
		require.NoError(t, unix.Mount("", mount, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		_, err = engine.New(engine.Options{CacheDirectory: directory})
		require.ErrorIs(t, err, unix.EROFS)
		require.ErrorContains(t, err, "compilation.mode: InProcess")
		return
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), mountVariable+"="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	output, err := command.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) ||
		errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOSPC) {
		t.Skip("user namespaces, needed to mount a small disk, are forbidden or missing here:", err)
	}
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: "+t.Name())
}
