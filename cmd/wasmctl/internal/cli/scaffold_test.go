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
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/pkg/verification"
)

func TestScaffoldVerificationConfig(t *testing.T) {
	u := newUser(t)
	text := u.does("scaffold", "verification-config")
	require.Contains(t, text, `wasmctl scaffold verification-config > "`+
		filepath.Join(u.config, "kubewarden", "verification-config.yml")+`"`)
	config, err := verification.ParseConfig([]byte(text))
	require.NoError(t, err)
	require.Equal(t,
		[]verification.Signature{{Kind: verification.KindGitHubAction, Owner: "kubewarden"}},
		config.AllOf)
	require.Nil(t, config.AnyOf)
}

// The commented parts are valid as well, except for the key.
func TestScaffoldVerificationConfigComments(t *testing.T) {
	u := newUser(t)
	_, text, _ := strings.Cut(u.does("scaffold", "verification-config"), "apiVersion: v1\n")
	text = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(text,
		"    # repo", "    repo"), "    # annotations", "    annotations"), "    #   env",
		"      env")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\n# anyOf", "\nanyOf"), "\n#  ", "\n ")
	_, err := verification.ParseConfig([]byte("apiVersion: v1\n" + text))
	require.ErrorContains(t, err, "anyOf.signatures[0].key: ")
	require.NotContains(t, err.Error(), "\n", "only the key is wrong")
}

func TestScaffoldUsage(t *testing.T) {
	for name, arguments := range map[string][]string{
		"scaffold: name what to write: ": {"scaffold"},
		`unknown command "house"`:        {"scaffold", "house"},
		`unknown command "more"`:         {"scaffold", "verification-config", "more"},
	} {
		r := call(t, arguments...)
		require.Equal(t, cli.ExitUsage, r.code, "%s", r.err)
		require.Contains(t, r.err, name)
		require.Empty(t, r.out)
	}
}
