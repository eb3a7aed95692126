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
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
)

// All problems are reported at once, as far as possible.
func TestAllProblems(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("bad", "file://relative.wasm")
	report := w.lint(w.write("config.yaml", head+"policyDirectory: "+w.path("policies.d")+`
policies:
- {name: fetch, module: "`+w.module("none")+`"}
- {name: settings, module: "`+w.module("settings-refused")+`"}
- {name: "Not A Name", module: "`+w.module("accept")+`"}
- {name: fields, module: "`+w.module("accept")+`", timeoutEvalSeconds: 99}
`))
	require.NotEmpty(t, report.Problems)
	for n, part := range []string{
		`policies[Not A Name].name`, `policies[fields].timeoutEvalSeconds`,
		`bad.yaml[1] ClusterAdmissionPolicy "bad": spec.module`,
		`policies[fetch].module`, `policies[settings].settings`,
	} {
		require.Contains(t, report.Problems[n], part)
	}
	require.Len(t, report.Problems, 5)
	require.Equal(t, []string{manifestsUnseen}, report.Unseen)
	require.Empty(t, report.Hash)
}

func TestProblems(t *testing.T) {
	w := newWorkspace(t)
	for name, test := range map[string]struct{ config, problem string }{
		"no file":     {"", "no such file or directory"},
		"not decoded": {head + "polices: []", `unknown field "polices"`},
		"limits": {head + "limits: {memory: 1}\npolicies: [{name: a, module: " +
			w.module("none") + "}]", "limits.memory"},
		"directory": {head + "policyDirectory: " + w.path("none"),
			"policyDirectory: cannot be read: "},
		"docker config": {head + "sources: {dockerConfig: " + w.path("none") + "}",
			"sources.dockerConfig"},
		"two entries": {admission + "- name: WasmAdmission\n- name: WasmAdmission\n",
			"several entries under plugins"},
		"both": {admission + "- {name: WasmAdmission, path: a, configuration: {}}\n",
			"has both path and configuration"},
		"no path": {admission + "- {name: WasmAdmission, path: none.yaml}\n",
			"none.yaml: no such file"},
		"aliases": {admission + "- {name: &a " + strings.Repeat("x", 16<<10) +
			", path: a}\nrest: [" + strings.Repeat("*a, ", 300) + "]\n",
			"aliases make it larger than 4194304 bytes"},
		"admission field": {admission + "- {name: WasmAdmission, paths: a}\n",
			`unknown field "plugins[0].paths"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := w.path("none.yaml")
			if test.config != "" {
				path = w.write("config.yaml", test.config)
			}
			report := w.lint(path)
			require.Len(t, report.Problems, 1)
			require.Contains(t, report.Problems[0], test.problem)
		})
	}
}

const (
	manifestsUnseen = "no module of a manifest was fetched: fix the problems of the policy directory and its manifests first"
	remoteUnseen    = "no module from a registry or a web server was fetched, nor those of groups with such a member: fix the problems of sources first"
)

// A problem elsewhere does not hide problems of modules, or else the report says that they were not
// checked.
func TestProblemsOfModulesBesideOthers(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("fetch", w.module("none"))
	w.write("policies.d/empty.yaml", "# nothing\n")
	directory := "policyDirectory: " + w.path("policies.d") + "\n"
	own := "policies: [{name: own, module: " + w.module("gone") + "}]\n"
	remote := "stateDirectory: " + w.path("state") +
		"\npolicies: [{name: a, module: 'registry://localhost:1/a:v1'}]\npolicyGroups: [{name: g, expression: 'x()', message: denied, rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}], policies: {x: {module: 'https://localhost:1/a'}}}]\n"
	fetch, gone, empty := "fetch.yaml[1]", "policies[own].module", w.path("policies.d/empty.yaml")+
		": contains no object: write one or remove the file"
	warnings := []string{
		empty, w.path("policies.d/fetch.yaml") +
			`[1] ClusterAdmissionPolicy "fetch": spec: has no effect in process: policyServer`,
	}
	for name, test := range map[string]struct {
		config                     string
		problems, warnings, unseen []string
	}{
		"certificates": {directory + own + "sources: {authorities: [{host: a, files: [" +
			w.path("none") + "]}]}", []string{"sources.authorities", gone, fetch}, warnings, nil},
		"credentials": {directory + own + "sources: {dockerConfig: " + w.path("none") + "}",
			[]string{"sources.dockerConfig", gone, fetch}, warnings, nil},
		"remote modules": {remote + "sources: {dockerConfig: " + w.path("none") + "}",
			[]string{"sources.dockerConfig"}, nil, []string{remoteUnseen}},
		"own policy": {directory + "policies: [{name: Bad, module: " + w.module("accept") +
			"}]", []string{"policies[Bad].name", fetch}, warnings, nil},
		"too few": {directory + own + "minimumPolicies: 3",
			[]string{"minimumPolicies: ", gone, fetch}, warnings, nil},
		"no directory": {"policyDirectory: " + w.path("none") + "\n" + own,
			[]string{"none: no such file", gone}, nil, []string{manifestsUnseen}},
		"both": {"policyDirectory: " + w.path("none") + "\n" + remote +
			"sources: {dockerConfig: " + w.path("none") + "}", []string{
			"none: no such file", "sources.dockerConfig",
		}, nil, []string{manifestsUnseen, remoteUnseen}},
		"manifest beside all": {"policyDirectory: " + w.path("none") + "\n" + own +
			"limits: {memory: 1}", []string{"limits.memory", "none: no such file"}, nil,
			[]string{"no module was fetched: fix the problems first"}},
		"signatures": {own + "verification: {file: " + w.path("none") + "}",
			[]string{"verification.file: "}, nil,
			[]string{"no module was fetched: fix the problems first"}},
		"all are concerned": {own + "limits: {memory: 1}", []string{"limits.memory"}, nil,
			[]string{"no module was fetched: fix the problems first"}},
		"not decoded": {own + "a: 1", []string{`unknown field "a"`}, nil,
			[]string{"no manifest was read and no module was fetched: fix the problems first"}},
	} {
		t.Run(name, func(t *testing.T) {
			report := w.lint(w.write("config.yaml", head+test.config))
			require.Len(t, report.Problems, len(test.problems), report.Problems)
			for n, part := range test.problems {
				require.Contains(t, report.Problems[n], part)
			}
			require.ElementsMatch(t, test.warnings, report.Warnings)
			require.Equal(t, test.unseen, report.Unseen)
			require.Empty(t, report.Policies)
			require.Empty(t, report.Hash)
		})
	}
}

// Each problem names its file. Problems of manifests already contain the name.
func TestProblemsNameTheirFile(t *testing.T) {
	w := newWorkspace(t)
	for name, test := range map[string]struct{ config, problem string }{
		"value": {"reload: {interval: -1s}", "reload.interval: "},
		"field": {"polices: []", `unknown field "polices"`},
		"tab": {"reload:\n\tinterval: 1s",
			"the configuration is not valid YAML: line 4: found character that cannot start any token"},
		"module": {"policies: [{name: own, module: " + w.module("none") + "}]",
			"policies[own].module: "},
		"source": {"sources: {dockerConfig: " + w.path("none/of/it") + "}",
			"sources.dockerConfig: read credentials: open " + w.path("none/of/it") + ": "},
		"directory": {"policyDirectory: " + w.path("none/of/it"),
			"policyDirectory: cannot be read: open " + w.path("none/of/it") + ": "},
		"number": {"minimumPolicies: 1", "minimumPolicies: "},
	} {
		t.Run(name, func(t *testing.T) {
			report := w.lint(w.write("config.yaml", head+test.config))
			require.Len(t, report.Problems, 1, report.Problems)
			require.Contains(t, report.Problems[0], w.path("config.yaml")+": "+test.problem)

			// The server's configuration names the other file.
			w.write("plugin.yaml", head+test.config)
			report =
				w.lint(w.write("admission.yaml",
					admission+"- {name: WasmAdmission, path: plugin.yaml}\n"))
			require.Contains(t, report.Problems[0], w.path("plugin.yaml")+": "+test.problem)
		})
	}
	report := w.lint(w.write("config.yaml", "\t"+head))
	require.Contains(t, report.Problems[0],
		"the configuration is not valid YAML: line 1: found character")

	w.manifest("a", w.module("none"))
	config := w.write("config.yaml", head+"policyDirectory: "+w.path("policies.d"))
	for _, report := range []*linting.Report{
		w.lint(config),
		linting.Lint(t.Context(), linting.Options{PolicyDirectory: w.path("policies.d")}),
	} {
		require.Len(t, report.Problems, 1)
		require.True(t,
			strings.HasPrefix(report.Problems[0], w.path("policies.d/a.yaml")+
				`[1] ClusterAdmissionPolicy "a": spec.module: `), report.Problems)
	}
	require.NoError(t, os.Chmod(w.path("policies.d/a.yaml"), 0o666))
	require.True(t,
		strings.HasPrefix(w.lint(config).Problems[0],
			"reading a manifest: "+w.path("policies.d/a.yaml")+" has mode 0666"))
	report = linting.Lint(t.Context(),
		linting.Options{Path: config, PolicyDirectory: w.path("none")})
	require.Len(t, report.Problems, 1)
	require.True(t, strings.HasPrefix(report.Problems[0], "policyDirectory: cannot be read: "),
		report.Problems)
}

// The error about a manifest in place of a configuration says how to name manifests.
func TestManifestsInPlaceOfAConfiguration(t *testing.T) {
	w := newWorkspace(t)
	w.manifest("a", w.module("accept"))
	for path, want := range map[string]string{
		w.path("policies.d"): w.path("policies.d") +
			": is a directory: if it holds manifests, name it with --policy-directory",
		w.path("policies.d/a.yaml"): w.path("policies.d/a.yaml") +
			": is a manifest, not a configuration: name the directory that it is in with --policy-directory",
		w.write("list.yaml", "apiVersion: v1\nkind: List\nitems: []\n"): w.path("list.yaml") +
			": is a manifest, not a configuration: name the directory that it is in with --policy-directory",
	} {
		require.Equal(t, []string{want}, w.lint(path).Problems)
	}
}
