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

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/registry"
	"github.com/wasm-admission/wasm-admission/test/signing/keyless"
)

// batsFiles are tests in the style of those that come with Kubewarden's policies.
const batsFiles = "../../test/bats"

// findBats returns the path of bats: the installed one, or the one that `make bats-tool` fetched.
func findBats(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("bats"); err == nil {
		return path
	}
	path, err := filepath.Abs("../../.cache/bats/node_modules/bats/bin/bats")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("bats is missing: apt-get install bats, or make bats-tool, which takes it from npm")
	}
	return path
}

// TestBats runs the Bats files with wasmctl in place of kwctl, and with a registry without TLS.
func TestBats(t *testing.T) {
	tool := findBats(t)
	// `go test` caches by the files read, so read all files on which the result depends.
	require.NoError(t,
		filepath.WalkDir(batsFiles, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				_, err = os.ReadFile(path)
			}
			return err
		}))
	bin := t.TempDir()
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o",
		filepath.Join(bin, "wasmctl"), ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NoError(t, os.Symlink("wasmctl", filepath.Join(bin, "kwctl")))

	policy, err := os.ReadFile("../../test/policies/pod-privileged/policy.wasm")
	require.NoError(t, err)
	r := registry.Start(t, registry.Options{})
	run := exec.CommandContext(t.Context(), tool, batsFiles)
	run.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"XDG_CACHE_HOME="+t.TempDir(), "REGISTRY="+r.Host,
		"SIGNED="+keyless.Publish(t, r, "bats", policy))
	output, err = run.CombinedOutput()
	t.Logf("%s", output)
	require.NoError(t, err)
}
