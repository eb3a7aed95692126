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

package jsontext

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	for _, tc := range []struct{ text, want, wantErr string }{
		{text: `{}`},
		{text: ` { } `},
		{
			text: `{"a":1,"b":"x","c":[1,{"d":"]"}],"e":{"f":"}\"\\"},"g":null}`,
			want: `a=1 b="x" c=[1,{"d":"]"}] e={"f":"}\"\\"} g=null`,
		},
		{text: "{ \"a\" :\n1\t, \"b\":true }", want: `a=1 b=true`},
		{text: `{"\u0061\"":1}`, want: `a"=1`},
		{text: ``, wantErr: "unexpected end of JSON input"},
		{text: `null`, wantErr: `unexpected 'n' at byte 0`},
		{text: `[]`, wantErr: `unexpected '[' at byte 0`},
		{text: `{} {}`, wantErr: `unexpected '{' at byte 3`},
		{text: `{"a":1`, want: `a=1`, wantErr: "unexpected end"},
		{text: `{"a":1,`, want: `a=1`, wantErr: "unexpected end"},
		{text: `{"a":1,}`, want: `a=1`, wantErr: `unexpected '}' at byte 7`},
		{text: `{"a" 1}`, wantErr: `unexpected '1' at byte 5`},
		{text: `{"a":}`, wantErr: `unexpected '}' at byte 5`},
		{text: `{"a"`, wantErr: "unexpected end"},
		{text: `{"a":`, wantErr: "unexpected end"},
		{text: `{a:1}`, wantErr: "the name of a member: invalid character 'a'"},
		{text: `{"a`, wantErr: "unexpected end"},
		{text: `{"a\`, wantErr: "unexpected end"},
		{text: `{"a":"b\"}`, wantErr: "unexpected end"},
		{text: `{"a":{"b":[}`, wantErr: "unexpected end"},
		{text: `{"a":1 "b":2}`, want: `a=1`, wantErr: `unexpected '"' at byte 7`},
		{text: strings.Repeat(`{"a":`, 1<<16), wantErr: "unexpected end"},
	} {
		t.Run(fmt.Sprintf("%.40s", tc.text), func(t *testing.T) {
			var members []string
			err := Members([]byte(tc.text), func(name, value []byte) error {
				members = append(members, string(name)+"="+string(value))
				return nil
			})
			if got := strings.Join(members, " "); got != tc.want {
				t.Errorf("members are %s, want %s", got, tc.want)
			}
			expectError(t, err, tc.wantErr)
		})
	}
}

func TestStrings(t *testing.T) {
	for _, tc := range []struct {
		text, wantErr string
		want          []string
	}{
		{text: `null`},
		{text: `[]`},
		{text: `["a", "\u00e9", "é", ""]`, want: []string{"a", "é", "é", ""}},
		{text: `["a"`, want: []string{"a"}, wantErr: "unexpected end"},
		{text: `[1]`, want: []string{""}, wantErr: "cannot unmarshal number"},
		{text: `{}`, wantErr: "unexpected '{'"},
	} {
		got, err := Strings([]byte(tc.text))
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.text, got, tc.want)
		}
		expectError(t, err, tc.wantErr)
	}
}

func TestBool(t *testing.T) {
	for text, want := range map[string]bool{"true": true, "false": false, "null": false} {
		if got, err := Bool([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	_, err := Bool([]byte(`"true"`))
	expectError(t, err, "is not a boolean")
}

func TestDecode(t *testing.T) {
	var object map[string]any
	expectError(t, Decode([]byte(`{"n":9007199254740993}`), &object), "")
	if object["n"] != json.Number("9007199254740993") {
		t.Errorf("the number has become %v", object["n"])
	}
	expectError(t, Decode([]byte(`{} {}`), &object), "unexpected '{'")
	var known struct{ A any }
	expectError(t, DecodeStrictly([]byte(`{"a":9007199254740993}`), &known), "")
	if known.A != json.Number("9007199254740993") {
		t.Errorf("the number has become %v", known.A)
	}
	expectError(t, DecodeStrictly([]byte(`{"b":1}`), &known), `unknown field "b"`)
}

// Members reads everything that encoding/json reads, with the same values.
func FuzzMembers(f *testing.F) {
	f.Add(`{"a":1,"b":"\"","c":[{}],"d":{"e":null}}`)
	for n := range 2 * eight { // an escape, a brace and the end at each place of a word
		pad := strings.Repeat("x", n)
		f.Add(`{"` + pad + `\"}":{"a":["]` + pad + `",{"b":"\\"}]},"c":[` + strings.Repeat(" ", n) + `1]}`)
		f.Add(`{"a":{"b":"` + pad + `\\","c":[[["` + pad + `"]]]},"d":true}`)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := map[string]string{}
		err := Members([]byte(text), func(name, value []byte) error {
			got[string(name)] = string(value)
			return nil
		})
		var want map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &want) != nil || want == nil {
			return
		}
		expectError(t, err, "")
		if len(got) != len(want) {
			t.Fatalf("%d members, want %d", len(got), len(want))
		}
		for name, value := range want {
			if got[name] != string(value) {
				t.Errorf("%q is %q, want %q", name, got[name], value)
			}
		}
	})
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %q", err, want)
	}
}
