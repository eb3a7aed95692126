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

package jsonpatch

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	evanphx "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
)

func value(t testing.TB, text string) any {
	t.Helper()
	v, err := Decode([]byte(text))
	require.NoError(t, err)
	return v
}

func TestEqual(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[]}`, `{ "b": [], "a": 1.0 }`, true},
		{`1e3`, `1000`, true},
		{`9007199254740993`, `9007199254740992`, false},
		{`18446744073709551615`, `18446744073709551615`, true},
		{`{"a":null}`, `{}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,1]`, false},
		{`"a"`, `"\u0061"`, true},
		{`null`, `false`, false},
		{`1`, `"1"`, false},
		{`{}`, `[]`, false},
	} {
		require.Equal(t, test.same, Equal(value(t, test.a), value(t, test.b)), "%s %s", test.a,
			test.b)
		require.Equal(t, test.same, Equal(value(t, test.b), value(t, test.a)), "%s %s", test.b,
			test.a)
		require.Equal(t, test.same, Same([]byte(test.a), []byte(test.b)), "%s %s", test.a, test.b)
		require.Equal(t, test.same, Same([]byte(test.b), []byte(test.a)), "%s %s", test.b, test.a)
	}
}

// Numbers are equal if an API server stores them as the same number.
func TestNumbersAreComparedAsTheyAreStored(t *testing.T) {
	numbers := []string{
		"0", "-0", "0.0", "-0.0", "1", "1.0", "1e0", "10e-1", "-1", "-1.0", "1.5", "15e-1", "1000",
		"1e3",
		"9007199254740992", "9007199254740993", "9007199254740992.0", "9007199254740993.0",
		"9223372036854775807", "9223372036854775808", "9223372036854775807.0",
		"18446744073709551615", "18446744073709551616",
		"1e21", "1000000000000000000000", "1e-7", "0.0000001", "1e400",
	}
	stored := func(number string) string {
		object, _, err :=
			unstructured.UnstructuredJSONScheme.Decode([]byte(`{"apiVersion":"v1","kind":"K","n":`+
				number+`}`), nil, nil)
		if err != nil {
			return number // it is refused
		}
		text, err := apiruntime.Encode(unstructured.UnstructuredJSONScheme, object)
		require.NoError(t, err)
		return string(text)
	}
	for _, a := range numbers {
		for _, b := range numbers {
			require.Equal(t, stored(a) == stored(b), Same([]byte(a), []byte(b)), "%s %s", a, b)
		}
	}
}

func TestSame(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{`{"a":[1,{"b":null}]}`, ` { "a" : [ 1.0 , {"b":null} ] } `, true},
		{`{"a":1,"b":2}`, `{"b":2}`, false},
		{`{"a":1,"b":2}`, `{"a":1,"a":1}`, false},
		{`{"a":1,"a":1}`, `{"a":1,"a":1}`, true},
		{`{}`, `{}{}`, false},
		{`[]`, `[`, false},
		{`[1]`, `[1`, false},
		{`{"a":1}`, `{"a":1`, false},
		{`{`, `{}`, false},
		{``, `{}`, false},
	} {
		require.Equal(t, test.same, Same([]byte(test.a), []byte(test.b)), "%s %s", test.a, test.b)
	}
}

// Comparing a large value with a small one takes no memory for the large one.
func TestSameReadsOnly(t *testing.T) {
	large := []byte(`{"a":[` + strings.Repeat("0,", 1<<19) + `0]}`)
	require.Less(t, allocated(func() { require.False(t, Same([]byte(`{"a":[0,0]}`), large)) }),
		uint64(64<<10))
}

// allocated returns the number of bytes that do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzSame(f *testing.F) {
	f.Add(`{"a":1,"b":[1,2,{"c":null}]}`, `{"b":[1,2,{"c":null}],"a":1e0}`)
	f.Add(`[[],{}]`, `[[],{},[]]`)
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errX := Decode([]byte(a))
		y, errY := Decode([]byte(b))
		same := Same([]byte(a), []byte(b))
		if a == b || errX != nil || errY != nil {
			require.Equal(t, a == b, same)
			return
		}
		if same {
			require.True(t, Equal(x, y))
			return
		}
		// Equal values must compare as the same, unless an object has duplicate names.
		encoded, err := json.Marshal(y)
		require.NoError(t, err)
		require.Equal(t, Equal(x, y), Same([]byte(a), encoded))
	})
}

func TestDiff(t *testing.T) {
	for _, test := range []struct{ before, after, want string }{
		{`{"a":1}`, `{"a":1.0}`, `null`},
		{`{"a":1,"b":2}`, `{"b":3,"c":null}`,
			`[{"op":"remove","path":"/a"},{"op":"replace","path":"/b","value":3},{"op":"add","path":"/c","value":null}]`},
		{`{"a":[1,2,3]}`, `{"a":[1,4]}`,
			`[{"op":"replace","path":"/a/1","value":4},{"op":"remove","path":"/a/2"}]`},
		{`{"a":[]}`, `{"a":[1,{}]}`,
			`[{"op":"add","path":"/a/0","value":1},{"op":"add","path":"/a/1","value":{}}]`},
		{`{"a/b":{"~":1}}`, `{"a/b":{"~":[]}}`, `[{"op":"replace","path":"/a~1b/~0","value":[]}]`},
	} {
		patch, err := Diff(value(t, test.before), value(t, test.after), 1<<10)
		require.NoError(t, err)
		got, err := json.Marshal(patch)
		require.NoError(t, err)
		require.JSONEq(t, test.want, string(got))
	}
}

// A patch can be far larger than the objects. Here, each path contains the name.
func TestDiffIsBounded(t *testing.T) {
	name := strings.Repeat("n", 10<<10)
	before := value(t, `{"`+name+`":[`+strings.Repeat("0,", 10_000)+`0]}`)
	after := value(t, `{"`+name+`":[`+strings.Repeat("1,", 10_000)+`1]}`)
	_, err := Diff(before, after, 256<<10)
	require.ErrorIs(t, err, ErrTooLarge)
}

// The paths of equal values are not written.
func TestDiffWritesNoPathInVain(t *testing.T) {
	name := strings.Repeat("n", 64<<10)
	before := value(t, `{"`+name+`":[`+strings.Repeat("0,", 4_000)+`0]}`)
	after := value(t, `{"`+name+`":[`+strings.Repeat("0,", 4_000)+`1]}`)
	require.Less(t, allocated(func() {
		patch, err := Diff(before, after, 256<<10)
		require.NoError(t, err)
		require.Len(t, patch, 1)
		require.Equal(t, "/"+name+"/4000", patch[0].Path)
	}), uint64(4<<20))
}

// A patch turns one value into the other.
func FuzzDiff(f *testing.F) {
	f.Add(`{"a":1,"b":[1,2,{"c":null}]}`, `{"b":[{"c":[]},2],"d~/":"x"}`)
	f.Add(`{"a":[1,2,3]}`, `{"a":[]}`)
	f.Add(`{"a":{}}`, `{"a":[]}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		was, errWas := Decode([]byte(before))
		is, errIs := Decode([]byte(after))
		// Patches apply to objects.
		_, okWas := was.(map[string]any)
		_, okIs := is.(map[string]any)
		if errWas != nil || errIs != nil || !okWas || !okIs {
			return
		}
		operations, err := Diff(was, is, 1<<20)
		if err != nil {
			require.ErrorIs(t, err, ErrTooLarge)
			return
		}
		require.Equal(t, Equal(was, is), len(operations) == 0)
		encoded, err := json.Marshal(operations)
		require.NoError(t, err)
		patch, err := evanphx.DecodePatch(encoded)
		require.NoError(t, err)
		// like the objects of an API server, it has no duplicate names
		clean, err := json.Marshal(was)
		require.NoError(t, err)
		patched, err := patch.Apply(clean)
		require.NoError(t, err, "%s", encoded)
		require.True(t, Equal(is, value(t, string(patched))), "%s of %s is %s", encoded, clean,
			patched)
	})
}
