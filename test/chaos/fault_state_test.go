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

package chaos

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// mount mounts a small in-memory file system at a new directory until the test ends.
func (c *cluster) mount(t *testing.T, name string) (directory string) {
	t.Helper()
	directory = c.path(name)
	require.NoError(t, os.Mkdir(directory, 0o700))
	if err := syscall.Mount("chaos", directory, "tmpfs", 0, "size=32m,mode=0700"); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			t.Skip("cannot mount file systems: ", err)
		}
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(directory, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", directory, err)
		}
	})
	return directory
}

// leave ends a test that broke the state directory: it starts a server with the normal state
// directory.
func (c *cluster) leave(t *testing.T) { c.start(t, configuration{}) }

// diskFull fills the disk with a server's state directory. The server serves modules that are
// already compiled, even after a restart. A new module is a bad change until there is space.
func diskFull(t *testing.T, c *cluster) {
	state := c.mount(t, "full")
	c.place(t, "replaceable.wasm", "accept")
	full := configuration{state: state, policies: replaceable, keepLastGood: true}
	c.start(t, full)
	fill(t, filepath.Join(state, "filler"))
	c.hammer.RequireDenials(t)
	c.stop()
	c.start(t, full)
	c.requireReady(t, policiesCheck)
	c.hammer.RequireDenials(t)

	before := c.runningSet(t)
	c.place(t, "replaceable.wasm", "deny")
	c.requireLog(t, "compiling in a child process: ")
	require.Equal(t, before, c.runningSet(t))
	c.hammer.RequireDenials(t)

	require.NoError(t, os.Remove(filepath.Join(state, "filler")))
	// a custom section makes it a different module
	c.placeBytes(t, "replaceable.wasm", append(guest(t, "deny"), 0, 2, 1, 'x'))
	c.requireNewSet(t, before)
	c.requireTried(t, "replaceable", `WasmAdmission policy "replaceable" denied the request`)
	c.requireReady(t, policiesCheck)
	c.requireControl(t)
	c.hammer.RequireDenials(t)
	c.leave(t)
}

// fill writes to a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	require.NoError(t, err)
	defer func() { _ = file.Close() }() // writing to it already failed
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// stateReadOnly checks that a server with an empty, read-only state directory only starts if it
// compiles in its own process.
func stateReadOnly(t *testing.T, c *cluster) {
	state := c.mount(t, "read-only")
	require.NoError(t,
		syscall.Mount("chaos", state, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	c.stop()
	problems := c.requireNoStart(t, configuration{state: state, keepLastGood: true})
	require.Contains(t, problems, "needs a directory for compiled code")
	c.start(t, configuration{state: state, keepLastGood: true, compilation: "InProcess"})
	c.requireLog(t, "Compiling in memory: the directory for compiled code cannot be used")
	c.requireLog(t,
		"Modules are not kept: those from registries and servers have to be fetched at every start")
	c.requireMetric(t, `last_good_saves_total{result="failed"}`, 1)
	c.requireReady(t, policiesCheck)
	c.requireControl(t)
	c.hammer.RequireDenials(t)
	c.leave(t)
}

// stateCorrupt damages all files that a server kept, in several ways, before each start. The server
// must not use any damaged file. It can restore everything except a module whose registry is gone.
func stateCorrupt(t *testing.T, c *cluster) {
	c.start(t, configuration{keepLastGood: true})
	for _, damage := range []func([]byte) []byte{flip(0), flip(2), flip(-1), truncate, empty} {
		c.stop()
		require.NotZero(t, c.damage(t, damage))
		c.start(t, configuration{keepLastGood: true})
		c.requireLog(t, "Removing damaged compiled code")
		require.Regexp(t, "Cannot use a stored module|Removing an index entry that cannot be read",
			c.server.Logs())
		c.requireReady(t, policiesCheck)
	}
	c.stop()
	c.damage(t, flip(2))
	c.stopRegistry()
	defer c.startRegistry(t)
	problems := c.requireNoStart(t, configuration{keepLastGood: true})
	require.Contains(t, problems, "policies[no-privileged-pods].module: ")
	require.Contains(t, problems, "the set that was served last cannot be served instead: ")
	require.Contains(t, problems,
		" is damaged: its content has another SHA-256 than its first line says")
	c.startRegistry(t)
	c.start(t, configuration{keepLastGood: true})
}

// damage changes every non-empty file in the state directory, and returns their number.
func (c *cluster) damage(t *testing.T, change func([]byte) []byte) (files int) {
	t.Helper()
	err := filepath.WalkDir(c.path("state"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil || len(content) == 0 {
			return err
		}
		files++
		return os.WriteFile(path, change(content), 0o600)
	})
	require.NoError(t, err)
	return files
}

// flip changes a bit in the first byte, in the last byte, or at the position that a divisor gives.
func flip(where int) func([]byte) []byte {
	return func(content []byte) []byte {
		at := 0
		switch {
		case where < 0:
			at = len(content) - 1
		case where > 0:
			at = len(content) / where
		}
		content[at] ^= 0x10
		return content
	}
}

func truncate(content []byte) []byte { return content[:len(content)/2] }

func empty([]byte) []byte { return nil }
