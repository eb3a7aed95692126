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

// Package bats runs the Bats files beside it, which are written as those that come with
// Kubewarden's policies, with kwctl being wasmctl.
package bats

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// find returns the path of bats: what is installed, or what `make bats-tool` fetched.
func find(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("bats"); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join("..", "..", ".cache", "bats", "node_modules", "bats", "bin", "bats"))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("bats is missing: apt-get install bats, or make bats-tool, which takes it from npm")
	}
	return path
}

func TestBats(t *testing.T) {
	tool := find(t)
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "wasmctl"), "../../cmd/wasmctl")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoError(t, os.Symlink("wasmctl", filepath.Join(bin, "kwctl")))

	run := exec.CommandContext(t.Context(), tool, ".")
	run.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "XDG_CACHE_HOME="+t.TempDir())
	output, err = run.CombinedOutput()
	t.Logf("%s", output)
	require.NoError(t, err)
}
