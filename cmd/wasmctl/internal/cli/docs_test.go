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
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
)

// The hint to read the help names the command.
func TestUsageNamesTheCommand(t *testing.T) {
	for command, arguments := range map[string][]string{
		"wasmctl run": {"run", "--walk"}, "wasmctl scaffold vap": {"scaffold", "vap"},
		"wasmctl scaffold": {"scaffold", "house"}, "wasmctl": {"walk"},
	} {
		require.Contains(t, call(t, arguments...).err, "See \""+command+" --help\".\n")
	}
}

func TestDocs(t *testing.T) {
	t.Chdir(t.TempDir())
	got := callAs(t, "kwctl", "docs", "-o", "kwctl.md")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	text, err := os.ReadFile("kwctl.md")
	require.NoError(t, err)
	for _, section := range []string{
		"# Command-Line Help for `kwctl`", "## kwctl bench\n", "## kwctl scaffold vap\n",
		"## kwctl completions\n", "## Flags of all commands",
	} {
		require.Contains(t, string(text), section)
	}
	require.Contains(t, call(t, "docs").err, "--output is required")
	require.Contains(t, call(t, "docs", "-o", "a.adoc").err, "AsciiDoc is not supported")
}

func TestCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "fish", "powershell", "zsh"} {
		got := callAs(t, "kwctl", "completions", "-s", shell)
		require.Equal(t, cli.ExitOK, got.code, got.err)
		require.Contains(t, got.out, "kwctl")
	}
	for _, shell := range []string{"elvish", ""} {
		got := call(t, "completions", "-s", shell)
		require.Equal(t, cli.ExitUsage, got.code)
		require.Contains(t, got.err, "--shell: there is no completion for \""+shell+
			"\": write one of bash, fish, powershell, zsh")
	}
}
