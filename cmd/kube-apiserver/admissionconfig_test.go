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
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"
)

func TestCheckAdmissionConfiguration(t *testing.T) {
	for name, test := range map[string]struct {
		plugins string
		disable []string // --disable-admission-plugins
		only    []string // --admission-control
		want    []string // a part of each problem
	}{
		"nothing":            {plugins: `[]`},
		"the plugin inline":  {plugins: `[{name: WasmAdmission, configuration: {}}]`},
		"the plugin by path": {plugins: `[{name: WasmAdmission, path: readable.yaml}]`},
		"another plugin":     {plugins: `[{name: PodSecurity, configuration: {}}]`},
		"an unknown plugin":  {plugins: `[{name: PluginOfAnotherVersion, configuration: {}}]`},
		"misspelled": {
			plugins: `[{name: WasmAdmision}, {name: wasm-admission}, {name: WsamAdmission}]`,
			want: []string{
				`called "WasmAdmision"`, `called "wasm-admission"`, `called "WsamAdmission"`,
			},
		},
		"twice": {
			plugins: `[{name: WasmAdmission, configuration: {}}, {name: WasmAdmission, configuration: {}}]`,
			want:    []string{`2 entries under plugins are called "WasmAdmission"`},
		},
		"path and configuration": {
			plugins: `[{name: WasmAdmission, configuration: {}, path: readable.yaml}]`,
			want:    []string{"both path and configuration"},
		},
		"a path to nowhere": {
			plugins: `[{name: WasmAdmission, path: missing.yaml}]`,
			want:    []string{"missing.yaml: no such file"},
		},
		"neither path nor configuration": {
			plugins: `[{name: WasmAdmission}]`,
			want: []string{
				`the entry "WasmAdmission" has neither path nor configuration, so that no policy would be enforced`,
			},
		},
		"switched off": {
			plugins: `[{name: WasmAdmission, configuration: {}}]`,
			disable: []string{"WasmAdmission"},
			want: []string{
				"but --disable-admission-plugins=WasmAdmission switches it off and none of its policies would be enforced: change the flag, or remove the entry",
			},
		},
		"left out of the deprecated flag": {
			plugins: `[{name: WasmAdmission, configuration: {}}]`,
			only:    []string{"NamespaceLifecycle"},
			want:    []string{"but --admission-control, which does not name it, switches it off"},
		},
		"named by the deprecated flag": {
			plugins: `[{name: WasmAdmission, configuration: {}}]`, only: []string{"WasmAdmission"},
		},
		"another one switched off": {
			plugins: `[{name: WasmAdmission, configuration: {}}]`,
			disable: []string{"ServiceAccount"},
		},
		"switched off and not configured": {
			plugins: `[]`, disable: []string{"WasmAdmission"},
		},
		"not decodable, which the server itself reports": {plugins: `{`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "readable.yaml"), nil, 0o600))
			file := filepath.Join(dir, "admission.yaml")
			require.NoError(t,
				os.WriteFile(file,
					[]byte(
						"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: "+
							test.plugins+"\n"),
					0o600))
			opts := kubeoptions.NewAdmissionOptions()
			addPlugin(opts.GenericAdmission)
			opts.GenericAdmission.ConfigFile = file
			opts.GenericAdmission.DisablePlugins, opts.PluginNames = test.disable, test.only

			err := checkAdmissionConfiguration(opts, true)

			if len(test.want) == 0 {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			problems := strings.Split(err.Error(), "\n")
			require.Len(t, problems, len(test.want))
			for i, want := range test.want {
				require.Contains(t, problems[i], want)
				require.Contains(t, problems[i], file)
			}
		})
	}
}

func TestCheckAdmissionConfigurationWithoutFile(t *testing.T) {
	opts := kubeoptions.NewAdmissionOptions()
	require.NoError(t, checkAdmissionConfiguration(opts, true))
	opts.GenericAdmission.ConfigFile = filepath.Join(t.TempDir(), "missing.yaml")
	require.NoError(t, checkAdmissionConfiguration(opts, true), "the server itself reports that")
}

func TestNoUpstreamPluginResemblesOurs(t *testing.T) {
	for _, name := range kubeoptions.AllOrderedPlugins {
		require.False(t, resemblesPluginName(name), name)
	}
}
