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

package yaml12

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestToJSON(t *testing.T) {
	for document, want := range map[string]string{
		"a: no":                        `{"a":"no"}`,
		"a: [yes, on, off, y, N]":      `{"a":["yes","on","off","y","N"]}`,
		"a: [true, True, FALSE]":       `{"a":[true,true,false]}`,
		"a: [~, null, Null, NULL, ]":   `{"a":[null,null,null,null]}`,
		"a:":                           `{"a":null}`,
		"a: ''":                        `{"a":""}`,
		"a: '1'":                       `{"a":"1"}`,
		"a: [0777, 1_000, 00, 1:30]":   `{"a":["0777","1_000","00","1:30"]}`,
		"a: [0x1F, 0o17, 0b11, -0x1]":  `{"a":[31,15,3,-1]}`,
		"a: [+1, -1, 0, ++1]":          `{"a":[1,-1,0,"++1"]}`,
		"a: 18446744073709551615":      `{"a":18446744073709551615}`,
		"a: [1.0, 1e3, 1.5, .5]":       `{"a":[1.0,1000.0,1.5,0.5]}`,
		"a: [inf, NaN, .inf, .nan]":    `{"a":["inf","NaN",null,null]}`,
		"a: [2001-01-01, 0x1p4, 0x_1]": `{"a":["2001-01-01","0x1p4","0x_1"]}`,
		"a: !!str 1":                   `{"a":"1"}`,
		"1: a\nno: b":                  `{"1":"a","no":"b"}`,
		"a: &x {b: 1}\nc: {<<: *x}":    `{"a":{"b":1},"c":{"<<":{"b":1}}}`,
		"a: |\n  no\n":                 `{"a":"no\n"}`,
		`{"a": "\u00e9"}`:              `{"a":"é"}`,
	} {
		got, err := ToJSON([]byte(document))
		require.NoError(t, err, document)
		require.JSONEq(t, want, string(got), document)
	}
}

func TestToJSONRefuses(t *testing.T) {
	bomb := "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
	for _, names := range []string{"ab", "bc", "cd", "de", "ef", "fg", "gh"} {
		bomb += names[1:] + ": &" + names[1:] + " [" +
			strings.TrimSuffix(strings.Repeat("*"+names[:1]+", ", 10), ", ") + "]\n"
	}
	for document, want := range map[string]string{
		"":                "the document is empty",
		"a: 1\n---\nb: 2": "there is more than one document",
		"a: 1\n---\n":     "there is more than one document",
		"a: !secret 1":    "line 1: unknown tag !secret",
		"a: !map {b: 1}":  "line 1: unknown tag !map",
		"a: 1\na: 2":      `duplicate key "a"`,
		"[a]: 1":          "a key is not a scalar",
		"a: &x [*x]":      "nested deeper than 128 levels",
		bomb:              "more than 1048576 values",
		"a: &a " + strings.Repeat("x", 16<<10) + "\nb: [" + strings.Repeat("*a, ", 299) +
			"*a]": "aliases make it larger than 4194304 bytes",
		strings.Repeat("[", 200) +
			strings.Repeat("]", 200): "nested deeper than 128 levels",
		"a: [": "yaml: ",
	} {
		_, err := ToJSON([]byte(document))
		require.ErrorContains(t, err, want, document)
	}
}
