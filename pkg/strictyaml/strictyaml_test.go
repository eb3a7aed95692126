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

package strictyaml

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func TestKeys(t *testing.T) {
	const base = "base: &base {a: 1, b: 2}\n"
	for _, test := range []struct{ name, yaml, err string }{
		{name: "no merge key", yaml: "a: 1\nb: yes\n"},
		{name: "merged", yaml: base + "c: {<<: *base, d: 3}\n"},
		{name: "overridden", yaml: base + "c: {<<: *base, b: 9}\n"},
		{name: "overridden before", yaml: base + "c: {b: 9, <<: *base}\n"},
		{name: "list of maps that overlap", yaml: base + "c: {<<: [*base, {b: 3}]}\n"},
		{name: "a text that looks like one", yaml: "a: '<<'\n"},
		{name: "twice", yaml: "a: 1\na: 2\n", err: "already set"},
		{name: "twice beside a merge key", yaml: base + "c: {<<: *base, b: 9, b: 10}\n", err: `line 2: key "b" already set in map`},
		{name: "twice elsewhere", yaml: base + "c: {<<: *base, b: 9}\nd: 1\nd: 2\n", err: `line 4: key "d" already set in map`},
		{name: "twice in what is merged", yaml: "base: &base {a: 1, a: 2}\nc: {<<: *base, a: 9}\n", err: `line 1: key "a" already set in map`},
		{name: "number and its text", yaml: base + "c: {<<: *base, b: 9, 1: x, '1': y}\n", err: `key "1" already set in map`},
		{name: "no YAML", yaml: "a: <<: b\n", err: "mapping values are not allowed"},
		{name: "contains itself", yaml: "a: &a {<<: *a, b: 1}\n", err: "contains itself"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ToJSON([]byte(test.yaml))
			var object map[string]any
			errObject := Unmarshal([]byte(test.yaml), &object)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.ErrorContains(t, errObject, test.err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, errObject)
			// kubectl reads with this.
			want, err := yaml.YAMLToJSON([]byte(test.yaml))
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(got))
		})
	}
}

func TestUnmarshalRefusesUnknownFields(t *testing.T) {
	var object struct {
		A map[string]int `json:"a"`
		B map[string]int `json:"b"`
	}
	require.NoError(t, Unmarshal([]byte("a: &a {x: 1}\nb: {<<: *a, x: 2}\n"), &object))
	require.Equal(t, map[string]int{"x": 2}, object.B)
	require.ErrorContains(t, Unmarshal([]byte("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: 1\n"), &object), `unknown field "c"`)
}
