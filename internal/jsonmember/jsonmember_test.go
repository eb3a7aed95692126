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

package jsonmember

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMembers(t *testing.T) {
	for _, test := range []struct{ name, data, value, without string }{
		{"alone", `{"m":{"f":1}}`, `1`, `{"m":{}}`},
		{"first", `{"m":{"f":[1,{"f":2}],"g":3},"n":0}`, `[1,{"f":2}]`, `{"m":{"g":3},"n":0}`},
		{"in the midst", `{"a":"}\\\"{","m":{"e":0,"f":"x,y","g":3}}`, `"x,y"`, `{"a":"}\\\"{","m":{"e":0,"g":3}}`},
		{"last", `{"m":{"e":0,"f":null}}`, `null`, `{"m":{"e":0}}`},
		{"with space", "{ \"m\" :\t{ \"e\" : 0 ,\n\"f\" : true } }", `true`, "{ \"m\" :\t{ \"e\" : 0  } }"},
		{"with space, first", "{\"m\":{ \"f\" : {} , \"g\":1}}", `{}`, "{\"m\":{  \"g\":1}}"},
		{"with an escape", `{"\u006d":{"\u0066":-1.5e3}}`, `-1.5e3`, `{"\u006d":{}}`},
		{"elsewhere", `{"f":1,"n":{"f":2},"m":{"n":{"f":3}}}`, "", ""},
		{"twice", `{"m":{"f":1,"f":2}}`, "", ""},
		{"of one that is there twice", `{"m":{"f":1},"m":{}}`, "", ""},
		{"of no object", `{"m":[{"f":1}]}`, "", ""},
		{"of nothing", ``, "", ""},
		{"of what ends", `{"m":{"f":`, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := []byte(test.data)
			m, found := Find(data, "m", "f")
			require.Equal(t, test.value != "", found)
			require.Equal(t, strings.Contains(test.name, "twice"), Twice(data, "m", "f"))
			if !found {
				return
			}
			require.Equal(t, test.value, string(data[m.Value:m.End]))
			without := AppendWithout(nil, data, m)
			require.Equal(t, test.without, string(without))
			into, found := Find(without, "m")
			require.True(t, found)
			with, ok := Insert(without, into, "f", []byte(test.value))
			require.True(t, ok)
			require.JSONEq(t, test.data, string(with))
			require.Equal(t, test.data, string(data))
		})
	}
	_, ok := Insert([]byte(`[]`), Member{}, "f", []byte("1"))
	require.False(t, ok)
}

// Whatever a text is, nothing panics; and what is JSON comes to what it comes to by decoding.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"m":{"f":[1],"g":"\\"},"n":{}}`))
	f.Add([]byte(`{ "m" : { "\u0066" : null } , "m":1}`))
	f.Add([]byte(`{"m":{"f":`))
	f.Add([]byte(`"m`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, found := Find(data, "m", "f")
		var decoded map[string]any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if !json.Valid(data) || decoder.Decode(&decoded) != nil {
			return
		}
		inner, _ := decoded["m"].(map[string]any)
		if !found {
			_, there := inner["f"]
			require.True(t, !there || Twice(data, "m", "f"))
			return
		}
		value, there := inner["f"]
		require.True(t, there)
		var got any
		decoder = json.NewDecoder(bytes.NewReader(data[m.Value:m.End]))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&got))
		require.Equal(t, value, got)
		without := AppendWithout(nil, data, m)
		require.True(t, json.Valid(without), "%s", without)
		_, again := Find(without, "m", "f")
		require.False(t, again)
		into, found := Find(without, "m")
		require.True(t, found)
		with, ok := Insert(without, into, "f", data[m.Value:m.End])
		require.True(t, ok)
		require.True(t, json.Valid(with), "%s", with)
	})
}
