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

package jsonscan_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/jsonscan"
)

func TestFind(t *testing.T) {
	for _, test := range []struct{ name, data, value, without string }{
		{"alone", `{"m":{"f":1}}`, `1`, `{"m":{}}`},
		{"first", `{"m":{"f":[1,{"f":2}],"g":3},"n":0}`, `[1,{"f":2}]`, `{"m":{"g":3},"n":0}`},
		{"in the middle", `{"a":"}\\\"{","m":{"e":0,"f":"x,y","g":3}}`, `"x,y"`,
			`{"a":"}\\\"{","m":{"e":0,"g":3}}`},
		{"last", `{"m":{"e":0,"f":null}}`, `null`, `{"m":{"e":0}}`},
		{"with space", "{ \"m\" :\t{ \"e\" : 0 ,\n\"f\" : true } }", `true`,
			"{ \"m\" :\t{ \"e\" : 0  } }"},
		{"with space, first", "{\"m\":{ \"f\" : {} , \"g\":1}}", `{}`, "{\"m\":{  \"g\":1}}"},
		{"with an escape", `{"\u006d":{"\u0066":-1.5e3}}`, `-1.5e3`, `{"\u006d":{}}`},
		{"elsewhere", `{"f":1,"n":{"f":2},"m":{"n":{"f":3}}}`, "", ""},
		{"twice", `{"m":{"f":1,"f":2}}`, "", ""},
		{"twice with an escape", `{"m":{"f":1,"\u0066":2}}`, "", ""},
		{"on a path that is there twice", `{"m":{"f":1},"m":{}}`, "", ""},
		{"in an array", `{"m":[{"f":1}]}`, "", ""},
		{"in nothing", ``, "", ""},
		{"in what is cut", `{"m":{"f":`, "", ""},
		{"in what is not valid", `{"m":{"f":1},}`, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := []byte(test.data)
			m, found := jsonscan.Find(data, "m", "f")
			require.Equal(t, test.value != "", found)
			require.Equal(t, strings.Contains(test.name, "twice"), jsonscan.Twice(data, "m", "f"))
			requireMember(t, data, "m", "f")
			if !found {
				return
			}
			require.Equal(t, test.value, string(data[m.Value:m.End]))
			require.Equal(t, test.without, string(jsonscan.AppendWithout(nil, data, m)))
			require.Equal(t, test.data, string(data))
		})
	}
	_, ok := jsonscan.Insert([]byte(`[]`), jsonscan.Member{}, "f", []byte("1"))
	require.False(t, ok)
}

// requireMember compares what Find and Twice find with what encoding/json decodes, takes the
// member out, and puts it back.
func requireMember(t *testing.T, data []byte, path ...string) {
	t.Helper()
	m, found := jsonscan.Find(data, path...)
	twice := jsonscan.Twice(data, path...)
	require.False(t, found && twice)
	if !json.Valid(data) {
		return
	}
	object := json.RawMessage(data)
	there := true
	for _, name := range path {
		var members map[string]json.RawMessage
		there = there && json.Unmarshal(object, &members) == nil && members[name] != nil
		object = members[name]
	}
	if !found {
		require.True(t, !there || twice)
		return
	}
	require.True(t, there)
	require.Equal(t, string(object), string(data[m.Value:m.End]))

	without := jsonscan.AppendWithout(nil, data, m)
	require.True(t, json.Valid(without), "%s", without)
	_, again := jsonscan.Find(without, path...)
	require.False(t, again)
	last := len(path) - 1
	into := jsonscan.Member{Value: len(without) - len(bytes.TrimLeft(without, " \t\r\n"))}
	if last > 0 {
		into, found = jsonscan.Find(without, path[:last]...)
		require.True(t, found)
	}
	with, ok := jsonscan.Insert(without, into, path[last], data[m.Value:m.End])
	require.True(t, ok)
	require.True(t, json.Valid(with), "%s", with)
	back, found := jsonscan.Find(with, path...)
	require.True(t, found)
	require.Equal(t, data[m.Value:m.End], with[back.Value:back.End])
}
