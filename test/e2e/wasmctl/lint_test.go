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

package wasmctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
)

// impersonating returns a kubeconfig that impersonates another user.
func impersonating(t *testing.T, kubeconfig []byte, user string) []byte {
	t.Helper()
	config, err := clientcmd.Load(kubeconfig)
	require.NoError(t, err)
	for _, auth := range config.AuthInfos {
		auth.Impersonate = user
	}
	text, err := clientcmd.Write(*config)
	require.NoError(t, err)
	return text
}

// TestLintAgainstTheServer compares configurations with the set that the server runs.
func TestLintAgainstTheServer(t *testing.T) {
	lint := func(config string, flags ...string) (set string, same bool) {
		got := call(t, nil,
			append([]string{"lint", "-o", "json", "--against", server.Kubeconfig(), config},
				flags...)...)
		require.Zero(t, got.ExitCode, got.Stdout+got.Stderr)
		var report struct {
			Hash   string
			Server struct {
				Running string
				Same    bool
			}
		}
		require.NoError(t, json.Unmarshal([]byte(got.Stdout), &report))
		require.NotEmpty(t, report.Server.Running)
		require.Equal(t, report.Hash == report.Server.Running, report.Server.Same)
		return report.Hash, report.Server.Same
	}
	own := filepath.Join(server.Dir(), "admission.yaml")
	set, same := lint(own)
	require.True(t, same)

	other := filepath.Join(t.TempDir(), "admission.yaml")
	require.NoError(t,
		os.WriteFile(other, []byte(configuration("pods/ephemeralcontainers")), 0o600))
	otherSet, same := lint(other)
	require.False(t, same)
	require.NotEqual(t, set, otherSet)

	got := call(t, nil, "lint", "--against", server.Kubeconfig(), own)
	require.Zero(t, got.ExitCode, got.Stderr)
	require.Contains(t, got.Stdout, "serves this set: nothing would change.")
	got = call(t, nil, "lint", "--against", server.Kubeconfig(), other)
	require.Zero(t, got.ExitCode, got.Stderr)
	require.Contains(t, got.Stdout, "serves another set, "+set)

	// A user who may not read metrics gets an explanation.
	text, err := os.ReadFile(server.Kubeconfig())
	require.NoError(t, err)
	nobody := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(nobody, impersonating(t, text, "nobody"), 0o600))
	got = call(t, nil, "lint", "--against", nobody, own)
	require.Equal(t, 1, got.ExitCode)
	require.Contains(t, got.Stderr,
		"/metrics answered 403: the user of the kubeconfig needs to be allowed to get it")
}
