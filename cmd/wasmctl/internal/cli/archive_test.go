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

package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// A policy that is saved on a machine with a network runs on a machine without one.
func TestSaveAndLoad(t *testing.T) {
	u := newUser(t)
	u.registry.Push(t, "policies/one", "v1", u.policy)
	uri := "registry://" + u.host + "/policies/one:v1"
	u.does("pull", uri)
	archive := filepath.Join(t.TempDir(), "policies.tar.gz")
	require.Empty(t, u.does("save", "--output", archive, uri))
	u.does("save", "-o", archive, engine.Digest(u.policy)[7:19])

	u.cache = t.TempDir()
	u.registry.Stop()
	require.Empty(t, u.does("load", "--input", archive))
	require.Contains(t, u.does("policies"), uri)
	require.Contains(t, u.does("run", "-r", privileged+"testdata/pod-create-privileged.json", uri),
		`"allowed":false`)

	u.refuses(cli.ExitUsage, "POLICY is missing", "save", "-o", archive)
	u.refuses(cli.ExitUsage, "--output is required", "save", uri)
	u.refuses(cli.ExitUsage, "--input is required", "load")
	none := filepath.Join(t.TempDir(), "none.tar.gz")
	u.refuses(cli.ExitProblem, "Cannot find policy 'registry://example.com/none:v1'", "save", "-o",
		none, uri, "registry://example.com/none:v1")
	entries, err := os.ReadDir(filepath.Dir(none))
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is left of an archive that is not whole")
	require.NoError(t, os.Symlink(archive, none))
	u.refuses(cli.ExitProblem, "is not a regular file", "save", "-o", none, uri)
	u.refuses(cli.ExitProblem, "not an archive from save", "load", "--input",
		privileged+"policy.wasm")
	u.refuses(cli.ExitProblem, "raise --module-size", "load", "--module-size", "1Ki", "--input",
		archive)
	u.refuses(cli.ExitProblem, "no such file", "load", "--input",
		filepath.Join(t.TempDir(), "gone"))
}
