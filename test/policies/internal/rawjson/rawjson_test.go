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

package rawjson_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/policies/internal/rawjson"
)

const document = ` {"a" : {"b\"":[1,{"c":"}"}], "d":-1.5e3,"\u00e4\ud83d\ude00" : true } , "a2":{ }, "a":null}`

func TestGet(t *testing.T) {
	require.Equal(t, `[1,{"c":"}"}]`, rawjson.Get(document, "a", `b"`))
	require.Equal(t, "-1.5e3", rawjson.Get(document, "a", "d"))
	require.Equal(t, "true", rawjson.Get(document, "a", "ä😀"))
	require.Equal(t, "{ }", rawjson.Get(document, "a2"))
	require.Empty(t, rawjson.Get(document, "x"))
	require.Empty(t, rawjson.Get(document, "a", "d", "e"))
}

func TestAdd(t *testing.T) {
	require.JSONEq(t, `{"a":{"x":"y"}}`, rawjson.Add(`{"a":{ }}`, "x", `"y"`, "a"))
	require.JSONEq(t, `{"a":{"x":"y","z":1},"b":2}`,
		rawjson.Add(`{"a":{"z":1},"b":2}`, "x", `"y"`, "a"))
	require.JSONEq(t, `{"a":{"b":{"x":"y"}},"c":3}`,
		rawjson.Add(`{"a":{},"c":3}`, "x", `"y"`, "a", "b"))
	require.JSONEq(t, `{"a":{"b":{"x":"y"}},"c":3}`,
		rawjson.Add(`{"a":{"b":null},"c":3}`, "x", `"y"`, "a", "b"))
	require.Equal(t, `{"a":1}`, rawjson.Add(`{"a":1}`, "x", "1", "a"))
	require.Equal(t, `{"a":1}`, rawjson.Add(`{"a":1}`, "x", "1", "a", "b"))
	require.Equal(t, `{"a":1}`, rawjson.Add(`{"a":1}`, "x", "1", "b", "c"))
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/\b\f\n\r\t\x00\x1f", "ä😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(map[string]string{"k": s})
		require.NoError(t, err)
		want := ""
		require.NoError(t, json.Unmarshal([]byte(rawjson.Get(string(text), "k")), &want))
		got, ok := rawjson.String(string(text), "k")
		require.True(t, ok)
		require.Equal(t, want, got)
		require.NoError(t, json.Unmarshal([]byte(rawjson.Quote(want)), &got))
		require.Equal(t, want, got)
	})
}

// FuzzGarbage checks that text that is not JSON causes no panic.
func FuzzGarbage(f *testing.F) {
	for _, s := range []string{
		document, "", "{", `{"`, `{"a`, `{"a":`, `{"a\`, `{"a\u`, `{"a":}`, `{"a":1,`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		rawjson.Get(text, "a", "b")
		rawjson.Add(text, "x", "1", "a")
		rawjson.String(text, "a")
	})
}
