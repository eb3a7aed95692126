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
	"strings"
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
		{
			name: "twice beside a merge key", yaml: base + "c: {<<: *base, b: 9, b: 10}\n",
			err: `line 2: key "b" already set in map`,
		},
		{
			name: "twice elsewhere", yaml: base + "c: {<<: *base, b: 9}\nd: 1\nd: 2\n",
			err: `line 4: key "d" already set in map`,
		},
		{
			name: "twice in what is merged",
			yaml: "base: &base {a: 1, a: 2}\nc: {<<: *base, a: 9}\n",
			err:  `line 1: key "a" already set in map`,
		},
		{
			name: "number and its text", yaml: base + "c: {<<: *base, b: 9, 1: x, '1': y}\n",
			err: `key "1" already set in map`,
		},
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
			// kubectl uses this function.
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
	require.ErrorContains(t, Unmarshal([]byte("a: &a {x: 1}\nb: {<<: *a, x: 2}\nc: 1\n"), &object),
		`unknown field "c"`)
}

// The underlying parser reads the first document and ignores the others silently.
func TestDocuments(t *testing.T) {
	const second = "a second document begins"
	for name, test := range map[string]struct{ yaml, err string }{
		"one":                           {"a: 1\n", ""},
		"one with markers":              {"---\na: 1\n---\n", ""},
		"a comment behind":              {"a: 1\n---\n# nothing\n...\n", ""},
		"an end":                        {"a: 1\n...\n", ""},
		"markers in a text":             {"a: |\n  ---\n  ...\nb: a --- b\n", ""},
		"two":                           {"a: 1\n---\na: 2\n", "line 2: " + second},
		"two, an end between":           {"a: 1\n...\n---\na: 2\n", second},
		"two, carriage returns":         {"a: 1\r---\ra: 2\r", second},
		"two, a merge key":              {"b: &b {c: 1}\na: {<<: *b, c: 2}\n---\na: 2\n", second},
		"a null behind":                 {"a: 1\n--- null\n", second},
		"the first holds nothing":       {"---\n# nothing\n---\na: 1\n", second},
		"the second cannot be read":     {"a: 1\n---\na: [\n", "did not find"},
		"the second has a key twice":    {"a: 1\n---\na: 1\na: 2\n", second},
		"a list behind what holds less": {"--- {}\n--- [1]\n", second},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ToJSON([]byte(test.yaml))
			var object map[string]any
			errObject := Unmarshal([]byte(test.yaml), &object)
			if test.err == "" {
				require.NoError(t, err)
				require.NoError(t, errObject)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, errObject, test.err)
		})
	}
}

// The underlying parser counts nodes, but not their size.
func TestAliasesAreBounded(t *testing.T) {
	const tooLarge = "aliases make it larger than 4194304 bytes"
	text := strings.Repeat("x", MaxExpanded/256)
	for name, test := range map[string]struct{ yaml, err string }{
		"small": {"a: &a x\nb: *a\n", ""},
		"just fits": {"a: &a " + text + "\nb: [" + strings.Repeat("*a,", 250) + "]\n",
			""},
		"a value": {"a: &a " + text + "\nb: [" + strings.Repeat("*a,", 256) + "]\n",
			tooLarge},
		"merged": {"a: &a {c: " + text + "}\nb: [" +
			strings.Repeat("{<<: *a},", 256) + "]\n", tooLarge},
		"a key": {"a: &a " + text + "\nb: [" + strings.Repeat("{*a : 1},", 256) +
			"]\n", tooLarge},
		"large, but no alias": {"a: '&*'\nb: " + strings.Repeat("x", MaxExpanded) + "\n", ""},
		"small beside a large": {"a: &a x\nc: *a\nb: " + strings.Repeat("x", MaxExpanded) + "\n",
			""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ToJSON([]byte(test.yaml))
			errObject := Unmarshal([]byte(test.yaml), &map[string]any{})
			if test.err == "" {
				require.NoError(t, err)
				require.NoError(t, errObject)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, errObject, test.err)
		})
	}
}

// The parser omits the line number if it means the first line.
func TestSyntaxErrorsNameTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"\ta: 1\n":        "yaml: line 1: found character that cannot start any token",
		"a: b: c\n":       "yaml: line 1: mapping values are not allowed in this context",
		"a:\n\tb: 1\n":    "yaml: line 2: found character that cannot start any token",
		"<<: &a x\n\tb\n": "yaml: line 2: ",
	} {
		_, err := ToJSON([]byte(text))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, Unmarshal([]byte(text), &struct{}{}), want[len("yaml: "):])
	}
	require.NoError(t, WithLine(nil))
}
