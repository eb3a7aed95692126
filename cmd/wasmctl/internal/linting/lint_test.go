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

package linting_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	basemetrics "k8s.io/component-base/metrics"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/metrics"
	"github.com/wasm-admission/wasm-admission/pkg/policyset"
	"github.com/wasm-admission/wasm-admission/pkg/policyset/reload"
)

const head = "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n"

// workspace is a directory with modules, manifests and configurations.
type workspace struct {
	*testing.T
	directory string
}

func newWorkspace(t *testing.T) *workspace {
	w := &workspace{t, t.TempDir()}
	require.NoError(t, os.Chmod(w.directory, 0o700))
	require.NoError(t, os.Mkdir(w.path("policies.d"), 0o700))
	for _, name := range []string{"accept", "deny", "settings-refused", "trap"} {
		content, err := os.ReadFile("../../../../test/wat/" + name + ".wasm")
		require.NoError(t, err)
		w.write(name+".wasm", string(content))
	}
	return w
}

func (w *workspace) path(name string) string { return filepath.Join(w.directory, name) }

func (w *workspace) write(name, content string) string {
	w.Helper()
	require.NoError(w, os.WriteFile(w.path(name), []byte(content), 0o600))
	return w.path(name)
}

func (w *workspace) module(name string) string { return "file://" + w.path(name+".wasm") }

func (w *workspace) manifest(name, module string) {
	w.write("policies.d/"+name+".yaml", `
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: `+name+`}
spec:
  module: `+module+`
  mutating: false
  policyServer: default
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
`)
}

func (w *workspace) lint(path string) *linting.Report {
	return linting.Lint(w.Context(), linting.Options{Path: path})
}

func TestGood(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("first", w.module("accept"))
	report := w.lint(w.write("config.yaml", head+"policyDirectory: "+w.path("policies.d")+
		"\npolicies: [{name: own, module: "+w.module("deny")+", mode: monitor}]\n"))
	require.Empty(t, report.Problems)
	require.Len(t, report.Warnings, 1)
	require.Contains(t, report.Warnings[0], "has no effect in process: policyServer")
	require.Len(t, report.Policies, 2)
	require.Equal(t, "clusterwide-first", report.Policies[0].Name)
	require.Equal(t, "monitor", report.Policies[1].Mode)
	require.Regexp(t, "^[0-9a-f]{64}$", report.Hash)
}

// The report contains the warnings that a server would log while it loads policies.
func TestWarningsOfLoading(t *testing.T) {
	w := newWorkspace(t)
	report := w.lint(w.write("config.yaml", head+"policies: [{name: own, module: "+w.module("deny")+
		", contextAwareResources: [{apiVersion: v1, kind: Secret}]}]\n"))
	require.Empty(t, report.Problems)
	require.Equal(t, []string{
		"policies[own]: Policy may not read Secrets: name it in capabilities.kubernetes.secretReaders if it should, or remove the kind from its contextAwareResources",
	}, report.Warnings)

	report = w.lint(w.write("config.yaml", head))
	require.Empty(t, report.Problems)
	require.Equal(t, []string{
		"the feature is enabled and NO POLICY is configured: every request is admitted. " +
			"Name policies in the file given by --admission-control-config-file, or switch the feature gate off",
	}, report.Warnings)
}

const admission = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"

// The configuration may be inside a server's configuration, or in a file that it names.
func TestAdmissionConfiguration(t *testing.T) {
	w := newWorkspace(t)
	w.write("plugin.yaml", head+"policies: [{name: named, module: "+w.module("accept")+"}]")
	report :=
		w.lint(w.write("admission.yaml", admission+
			"- {name: Other, path: other.yaml}\n- {name: WasmAdmission, path: plugin.yaml}\n"))
	require.Empty(t, report.Problems)
	require.Equal(t, "named", report.Policies[0].Name)

	report = w.lint(w.write("admission.yaml", admission+`- name: WasmAdmission
  configuration: {apiVersion: wasm.admission.config.k8s.io/v1alpha1, kind: WasmAdmissionConfiguration, policies: [{name: inline, module: "`+w.module("accept")+`"}]}
`))
	require.Empty(t, report.Problems)
	require.Equal(t, "inline", report.Policies[0].Name)

	report = w.lint(w.write("admission.yaml", admission+"- {name: Other, path: other.yaml}\n"))
	require.Empty(t, report.Problems)
	require.Contains(t, report.Warnings[0], `no entry under plugins is called "WasmAdmission"`)
	report = w.lint(w.write("admission.yaml", admission+"- name: WasmAdmission\n"))
	require.Len(t, report.Problems, 1)
	require.Contains(t, report.Problems[0],
		`the entry "WasmAdmission" has neither path nor configuration`)
}

// Grants for unknown policies are reported, but do not keep a server from starting.
func TestReadersOfSecretsThatDoNotExist(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("first", w.module("accept"))
	report := w.lint(w.write("config.yaml", head+"policyDirectory: "+w.path("policies.d")+
		"\ncapabilities: {kubernetes: {secretReaders: [clusterwide-first, first]}}\n"))
	require.Empty(t, report.Problems)
	require.Len(t, report.Warnings, 2)
	require.Contains(t, report.Warnings[1],
		`capabilities.kubernetes.secretReaders[1]: no policy is called "first"`)
}

func TestPolicyDirectoryAlone(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("first", w.module("accept"))
	report := linting.Lint(t.Context(),
		linting.Options{PolicyDirectory: w.path("policies.d"), StateDirectory: w.path("state")})
	require.Empty(t, report.Problems)
	require.Len(t, report.Policies, 1)
	require.DirExists(t, w.path("state"))
}

// Another process that uses the directory for compiled code does not prevent linting.
func TestTheStateDirectoryIsInUse(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("first", w.module("accept"))
	e, err := engine.New(engine.Options{
		Compilation:    engine.InProcess,
		CacheDirectory: w.path("state/compiled"),
	})
	require.NoError(t, err)
	report := linting.Lint(t.Context(),
		linting.Options{PolicyDirectory: w.path("policies.d"), StateDirectory: w.path("state")})
	require.NoError(t, e.Close())
	require.Empty(t, report.Problems)
	require.Len(t, report.Policies, 1)
}

// The server's state directory is not touched, and saved sets in it hide no problem.
func TestStateIsLeftAlone(t *testing.T) {
	w := newWorkspace(t)
	report := w.lint(w.write("config.yaml", head+"stateDirectory: "+w.path("server")+
		"\nreload: {keepLastGood: true}\npolicies: [{name: a, module: "+w.module("none")+"}]"))
	require.Len(t, report.Problems, 1)
	require.NoDirExists(t, w.path("server"))
}

// serve serves what a server reports about the policies of a configuration, and returns a
// kubeconfig for it.
func (w *workspace) serve(path string) (kubeconfig string, manager *reload.Manager) {
	data, err := os.ReadFile(path)
	require.NoError(w, err)
	config, err := load.LoadFromData(data)
	require.NoError(w, err)
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(w, err)
	w.Cleanup(func() { require.NoError(w, e.Close()) })
	recorder, registry := metrics.NewPolicies(), basemetrics.NewKubeRegistry()
	recorder.MustRegister(registry.MustRegister)
	manager = reload.New(reload.Options{
		Config: config, Source: reload.NewSource(config), Loader: &policyset.Loader{Engine: e},
		Recorder: recorder,
	})
	require.NoError(w, manager.Start(w.Context()))
	mux := http.NewServeMux()
	mux.Handle("/metrics", basemetrics.HandlerFor(registry, basemetrics.HandlerOpts{}))
	mux.HandleFunc("/readyz/wasm-admission-policies",
		func(response http.ResponseWriter, _ *http.Request) {
			if err := manager.Check(); err != nil {
				http.Error(response, err.Error(), http.StatusInternalServerError)
			}
		})
	server := httptest.NewServer(mux)
	w.Cleanup(server.Close)
	return w.kubeconfig(server.URL), manager
}

func (w *workspace) kubeconfig(url string) string {
	return w.write("kubeconfig", `
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "`+url+`"}}]
users: [{name: u, user: {}}]
`)
}

// A server with the same files reports that it serves the same set.
func TestAgainst(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("first", w.module("accept"))
	config := w.write("config.yaml", head+"policyDirectory: "+w.path("policies.d"))
	kubeconfig, manager := w.serve(config)

	report := w.lint(config)
	require.NoError(t, report.Against(t.Context(), kubeconfig))
	require.True(t, report.Server.Same)
	require.Equal(t, manager.Status().Running, report.Server.Running)
	require.Equal(t, report.Server.Running, report.Server.Desired)
	require.Empty(t, report.Server.Problem)

	w.manifest("second", w.module("deny"))
	report = w.lint(config)
	require.NoError(t, report.Against(t.Context(), kubeconfig))
	require.False(t, report.Server.Same)

	w.manifest("third", w.module("none"))
	report = w.lint(config)
	require.Empty(t, report.Hash)
	require.NoError(t, report.Against(t.Context(), kubeconfig))
	require.False(t, report.Server.Same)
}

func TestAgainstFails(t *testing.T) {
	w := newWorkspace(t)
	status, body := http.StatusForbidden, ""
	server :=
		httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			response.WriteHeader(status)
			_, _ = response.Write([]byte(body))
		}))
	t.Cleanup(server.Close)
	kubeconfig := w.kubeconfig(server.URL)
	report := &linting.Report{}
	require.ErrorContains(t, report.Against(t.Context(), kubeconfig),
		"/metrics answered 403: the user of the kubeconfig needs to be allowed to get it")
	status, body = http.StatusOK, "other 1\n"
	require.ErrorContains(t, report.Against(t.Context(), kubeconfig),
		"it has no metric apiserver_wasm_admission_policy_set_info")
	body = "{"
	require.ErrorContains(t, report.Against(t.Context(), kubeconfig), "its metrics cannot be read")
	body = strings.Repeat("\n", 64<<20+1)
	require.ErrorContains(t, report.Against(t.Context(), kubeconfig),
		"the answer has more than 67108864 bytes")
	server.Close()
	require.ErrorContains(t, report.Against(t.Context(), kubeconfig), "connection refused")
	require.ErrorContains(t, report.Against(t.Context(), w.path("none")), "reading the kubeconfig")
	require.Nil(t, report.Server)
}
