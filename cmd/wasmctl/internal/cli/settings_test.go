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
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
)

// Under the name kwctl, run reads settings as kwctl does.
func TestSettingsOfKwctl(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", cache)
	policy := filepath.Join(t.TempDir(), "policy.wasm")
	got := call(t, "annotate", "-m",
		file(t, "metadata.yml", "mutating: false\nrules: []\npolicyType: raw\n"), "-o", policy,
		guests+"answer.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	const accepted, isText = `"allowed":true`, `cannot unmarshal string`
	for name, test := range map[string]struct {
		flags          []string
		wasmctl, kwctl string
	}{
		"boolean of YAML 1.1": {[]string{"-s", file(t, "settings.yml", "accepted: yes\n")},
			accepted, isText},
		"boolean": {[]string{"-s", file(t, "settings.yml", "accepted: true\n")},
			accepted, accepted},
		"two documents": {[]string{"-s", file(t, "settings.yml", "accepted: true\n---\n")},
			accepted, "there is more than one document"},
		"tag": {[]string{"-s", file(t, "settings.yml", "accepted: !x true\n")}, "",
			"unknown tag !x"},
		"empty file": {[]string{"-s", file(t, "settings.yml", "")}, "",
			"the document is empty"},
		"empty text": {[]string{"--settings-json", ""}, "",
			"--settings-json: the settings are not an object"},
		"YAML as JSON": {[]string{"--settings-json", "accepted: true"}, accepted,
			"--settings-json: the settings are not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			for command, want := range map[string]string{
				"wasmctl": test.wasmctl,
				"kwctl":   test.kwctl,
			} {
				var out, stderr bytes.Buffer
				arguments := append([]string{"run", "-r", bats + "raw.json", policy}, test.flags...)
				cli.Main(t.Context(), command, arguments,
					&terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr})
				require.Contains(t, out.String()+stderr.String(), want, command)
			}
		})
	}
}

// A decoding error is one line that names the file, without Go terms.
func TestProblemsOfFiles(t *testing.T) {
	const policy = policies + "no-latest-tag/policy.wasm"
	run := []string{"run", "-r", policies + "pod-privileged/testdata/pod-delete.json", policy}
	annotate := []string{"annotate", "-o", filepath.Join(t.TempDir(), "policy.wasm"), policy}
	const replay = "--replay-host-capabilities-interactions"
	for name, test := range map[string]struct {
		command    []string
		flag, text string
		want       string
	}{
		"settings with a key twice": {run, "-s", "a: 1\na: 2\nb: 1\nb: 2\n",
			`the settings are not an object: line 2: key "a" already set in map: remove one of the two; line 4: key "b" already set`},
		"settings of a text": {run, "-s", "hello",
			"the settings are not an object: string does not fit: write an object"},
		"session of a map": {run, replay, "a: b",
			"the session is not a YAML list of exchanges: line 1: object does not fit: write a list"},
		"session of a text": {run, replay, "hello",
			"line 1: string does not fit: write a list"},
		"exchange of a text": {run, replay, "- a",
			"line 1: string does not fit: write an object"},
		"field of an exchange": {run, replay, "- {typ: x}",
			`line 1: unknown field "typ": correct its name or remove it`},
		"no boolean": {annotate, "-m", "rules: []\nmutating: maybe\n",
			"mutating: string does not fit: write true or false"},
		"rules of a number": {annotate, "-m", "rules: 5\nmutating: true\n",
			"rules: number does not fit: write a list"},
		"groups of a text": {annotate, "-m", "rules: [{apiGroups: x}]\nmutating: true\n",
			"rules.apiGroups: string does not fit: write a list"},
		"no rules": {annotate, "-m", "mutating: true\n",
			"rules: required field is missing"},
		"metadata with a key twice": {annotate, "-m", "rules: []\nrules: []\n",
			`line 2: key "rules" already set in map: remove one of the two`},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, "file.yaml", test.text)
			got := call(t, append(slices.Clone(test.command), test.flag, path)...)
			require.Equal(t, cli.ExitProblem, got.code)
			require.Contains(t, got.err, "Error: "+path+": ")
			require.Contains(t, got.err, test.want)
			require.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
		})
	}
	got := call(t, append(run, "--settings-json", "[1]")...)
	require.Equal(t,
		"Error: --settings-json: the settings are not an object: array does not fit: write an object\n",
		got.err)
	// If there are several problems, each names the file.
	path := file(t, "metadata.yml", "executionMode: x\n")
	got = call(t, append(annotate, "-m", path)...)
	require.Contains(t, got.err, "Error: "+path+": rules: required field is missing\n"+path+
		": mutating: required field is missing\n"+path+": ")
}
