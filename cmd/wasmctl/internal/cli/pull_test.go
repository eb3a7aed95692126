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
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

const privileged = policies + "pod-privileged/"

// user has private directories, and a registry without TLS that is listed in their sources.yaml.
type user struct {
	t                   *testing.T
	cache, config, host string
	registry            *registry.Registry
	policy              []byte
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{
		t:        t,
		cache:    t.TempDir(),
		config:   t.TempDir(),
		registry: registry.Start(t, registry.Options{}),
	}
	u.host = u.registry.Host
	u.configure("sources.yaml", "insecure_sources: ['"+u.host+"']")
	var err error
	u.policy, err = os.ReadFile(privileged + "policy.wasm")
	require.NoError(t, err)
	return u
}

// configure writes a file that kwctl also reads.
func (u *user) configure(name, content string) {
	u.t.Helper()
	require.NoError(u.t, os.MkdirAll(filepath.Join(u.config, "kubewarden"), 0o700))
	require.NoError(u.t,
		os.WriteFile(filepath.Join(u.config, "kubewarden", name), []byte(content), 0o600))
}

func (u *user) call(arguments ...string) result {
	u.t.Helper()
	u.t.Setenv("XDG_CACHE_HOME", u.cache)
	u.t.Setenv("XDG_CONFIG_HOME", u.config)
	u.t.Setenv("DOCKER_CONFIG", "/none")
	var out, stderr bytes.Buffer
	code := cli.Main(u.t.Context(), "wasmctl", arguments,
		&terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr})
	return result{code, out.String(), stderr.String()}
}

// does runs a command that must succeed, and returns its output.
func (u *user) does(arguments ...string) string {
	u.t.Helper()
	got := u.call(arguments...)
	require.Equal(u.t, cli.ExitOK, got.code, got.err)
	return got.out
}

// refuses runs a command that must fail with a one-line error.
func (u *user) refuses(code int, text string, arguments ...string) {
	u.t.Helper()
	got := u.call(arguments...)
	require.Equal(u.t, code, got.code, got.err)
	require.Contains(u.t, got.err, text)
	require.Empty(u.t, got.out)
	lines := strings.Count(got.err, "\n")
	if code == cli.ExitUsage {
		lines--
	}
	require.Equal(u.t, 1, lines, got.err)
}

func (u *user) stored(place string) string {
	return filepath.Join(u.cache, "kubewarden", "store", place)
}

// A pulled policy runs without network access, except for the tag latest.
func TestPull(t *testing.T) {
	u := newUser(t)
	u.registry.Push(t, "policies/one", "v1", u.policy)
	digest := u.registry.Push(t, "policies/one", "latest", u.policy)
	require.Empty(t, u.does("pull", "registry://"+u.host+"/policies/one:v1"))
	require.Empty(t, u.does("pull", u.host+"/policies/one"))
	require.Empty(t, u.does("pull", "registry://"+u.host+"/policies/one@"+digest))
	for _, name := range []string{":v1", ":latest", "@" + digest} {
		got, err := os.ReadFile(u.stored("registry/" + u.host + "/policies/one" + name))
		require.NoError(t, err)
		require.Equal(t, u.policy, got)
	}
	directory := t.TempDir()
	u.does("pull", "-o", directory, "registry://"+u.host+"/policies/one:v1")
	require.FileExists(t, filepath.Join(directory, "one:v1"))
	u.does("pull", "--output-path", filepath.Join(directory, "policy.wasm"),
		"registry://"+u.host+"/policies/one:v1")
	require.FileExists(t, filepath.Join(directory, "policy.wasm"))

	u.registry.Stop()
	request := privileged + "testdata/pod-create-privileged.json"
	require.Contains(t, u.does("run", "-r", request, "registry://"+u.host+"/policies/one:v1"),
		`"allowed":false`)
	require.Contains(t, u.does("run", "-r", request, "registry://"+u.host+"/policies/one@"+digest),
		`"allowed":false`)
	u.does("pull", "registry://"+u.host+"/policies/one:v1")
	u.refuses(cli.ExitProblem, "connection refused", "pull",
		"registry://"+u.host+"/policies/one:latest")
	u.refuses(cli.ExitProblem, "connection refused", "run", "-r", request,
		"registry://"+u.host+"/policies/one:latest")
}

// manifest returns a Kubewarden policy.
func manifest(name, uri string) string {
	return "---\napiVersion: policies.kubewarden.io/v1\nkind: ClusterAdmissionPolicy\nmetadata: {name: " +
		name + "}\nspec:\n  module: " + uri +
		"\n  rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]\n  mutating: false\n"
}

// Manifests may name policies in registries, as in clusters.
func TestManifestsNameRegistries(t *testing.T) {
	u := newUser(t)
	u.registry.Push(t, "policies/one", "v1", u.policy)
	require.Contains(t, u.does("run", "-r", privileged+"testdata/pod-create-privileged.json",
		file(t, "policies.yaml", manifest("one", "registry://"+u.host+"/policies/one:v1"))),
		`"allowed":false`)
}

func TestPullFromServers(t *testing.T) {
	u := newUser(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/text") {
			_, _ = w.Write([]byte("this is no module"))
			return
		}
		_, _ = w.Write(u.policy)
	}))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	u.configure("sources.yaml", "insecure_sources: ['"+host+"']")
	u.does("pull", server.URL+"/a/policy.wasm")
	require.FileExists(t, u.stored("http/"+host+"/a/policy.wasm"))

	directory := t.TempDir()
	u.does("pull", "-o", directory, server.URL+"/policy.wasm?token=secret")
	require.FileExists(t, filepath.Join(directory, "policy.wasm"))
	u.refuses(cli.ExitUsage, "name a file with --output-path", "pull",
		server.URL+"/policy.wasm?token=secret")
	require.NotContains(t, u.call("pull", server.URL+"/policy.wasm?token=secret").err, "secret")
	u.refuses(cli.ExitUsage, "does not end with the name of a file", "pull", "-o", directory,
		server.URL+"/")
	u.refuses(cli.ExitProblem, "not a WebAssembly module", "pull", server.URL+"/text")
	u.refuses(cli.ExitProblem, "at most 1024 are allowed", "pull", "--module-size", "1Ki",
		server.URL+"/b/policy.wasm")
	require.NoFileExists(t, u.stored("http/"+host+"/text"))
}

func TestPullRefuses(t *testing.T) {
	u := newUser(t)
	u.refuses(cli.ExitUsage, "URI is missing: name where a policy is", "pull")
	u.refuses(cli.ExitUsage, "is already a file", "pull", "file:///policy.wasm")
	u.refuses(cli.ExitUsage, "no place for it", "pull", "registry://")
	u.refuses(cli.ExitProblem, "check the host, the name, and the tag", "pull",
		u.host+"/policies/none:v1")
	u.configure("sources.yaml", "insecure: []")
	u.refuses(cli.ExitProblem, `sources.yaml: is not a Kubewarden sources.yml`, "pull",
		u.host+"/policies/one:v1")
}

// Manifests may name modules in registries, as in clusters.
func TestRunManifestOfARegistry(t *testing.T) {
	u := newUser(t)
	uri := "registry://" + u.host + "/policies/pod-privileged:v1"
	u.does("push", privileged+"policy.wasm", uri)
	manifest := file(t, "policy.yaml",
		u.does("scaffold", "manifest", "-t", "ClusterAdmissionPolicy", uri))
	require.Contains(t,
		u.does("run", "-r", privileged+"testdata/pod-create-privileged.json", manifest),
		`"allowed":false`)
}
