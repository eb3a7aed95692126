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
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/jsonscan"
)

// nested returns arrays within one another, so many.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// texts are JSON, and what is nearly JSON.
func texts() []string {
	texts := []string{
		``, ` `, `null`, `true`, `false`, `nul`, `nulll`, `tru`, `True`, `x`, ` 1 `, `1 2`, `,`,
		"\x00",
		`{}`, `[]`, `{ }`, `[ ]`, "\t{\r\n\"a\" : 1 , \"b\":[ 1 ,2 ] }\n", `[1,[2,{"a":[]}],"b"]`,
		`{`, `[`, `}`, `]`, `[}`, `{]`, `[1`, `[1,`, `[1,]`, `[,]`, `[,1]`, `[1 2]`, `[1]]`, `{"a"`,
		`{"a":`, `{"a":1`, `{"a":1,`,
		`{"a":1,}`, `{,}`, `{,"a":1}`, `{"a"}`, `{"a" 1}`, `{"a":}`, `{"a",1}`, `{"a":1 "b":2}`,
		`{a:1}`, `{1:2}`, `{"a":1}}`, `{}{}`,
		`""`, `"`, `"a`, `"a"b`, `"\"\\\/\b\f\n\r\t"`, `"\u00e9\uD800\uabCD"`, `"\x41"`, `"\u12"`,
		`"\u12`, `"\u123`, `"\u12g4"`, `"\`, `"\"`,
		"\"\n\"", "\"\x1f\"", "\"\x7f\"", "\"\xff\"", "\"\xe2\x80\xa8\"", "\"\xe2", `"<a>&"`,
		"\u00a01", "\ufeff1",
		`0`, `-0`, `10`, `-1.50e+3`, `1E-0`, `0e1`, `0.0`, `-`, `+1`, `01`, `-01`, `1.`, `.5`,
		`-.5`, `1e`, `1e+`, `1.e1`, `1.5.5`, `0x1`, `1a`, `--1`, `NaN`,
		nested(jsonscan.MaxDepth), nested(jsonscan.MaxDepth + 1),
		strings.Repeat("[", 2*jsonscan.MaxDepth), strings.Repeat(`{"a":`, jsonscan.MaxDepth) + "1" +
			strings.Repeat("}", jsonscan.MaxDepth),
	}
	// Every cut of a text, and every byte of it replaced by others.
	const text = `{"a":[1,-2.5e3,"\u00e9\\",true,null],"a" : {}}`
	for at := range text {
		texts = append(texts, text[:at])
		for _, b := range "\"\\{}[],:0e-. \x00n" {
			texts = append(texts, text[:at]+string(b)+text[at+1:])
		}
	}
	return texts
}

func TestScanner(t *testing.T) {
	for _, text := range texts() {
		requireAgreement(t, []byte(text))
	}
}

func FuzzScanner(f *testing.F) {
	for _, text := range texts() {
		if len(text) < 100 {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte(`{"m":{"f":[1],"g":"\\"},"n":{}}`))
	f.Add([]byte(`{ "m" : { "\u0066" : null } , "m":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		requireAgreement(t, data)
		requireMember(t, data, "m")
		requireMember(t, data, "m", "f")
	})
}

// requireAgreement compares what the scanner says of a text with what encoding/json says.
func requireAgreement(t *testing.T, data []byte) {
	t.Helper()
	before := bytes.Clone(data)
	s := &jsonscan.Scanner{Data: data, MaxDepth: jsonscan.MaxDepth}
	valid := s.Valid()
	require.Equal(t, json.Valid(data), valid, "%.100q", data)
	require.Equal(t, before, data)
	if !valid {
		return
	}
	if !s.Loose() {
		var compact, escaped bytes.Buffer
		require.NoError(t, json.Compact(&compact, data))
		json.HTMLEscape(&escaped, compact.Bytes())
		require.Equal(t, string(data), escaped.String())
	}
	requireMembers(t, data)
}

// requireMembers compares the members of an object with those that encoding/json decodes: of a
// name that is there twice, the last.
func requireMembers(t *testing.T, data []byte) {
	t.Helper()
	s := &jsonscan.Scanner{Data: data, MaxDepth: jsonscan.MaxDepth}
	got := map[string]json.RawMessage{}
	start := s.Space(0)
	end := s.Object(start, 0, func(m jsonscan.Member) int {
		m.End = s.Value(m.Value, 1)
		require.Equal(t, bytes.ContainsRune(m.Name, '\\'), m.Escaped)
		var name string
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, `"%s"`, m.Name), &name))
		require.True(t, bytes.HasPrefix(data[m.Start:], fmt.Appendf(nil, `"%s"`, m.Name)))
		got[name] = data[m.Value:m.End]
		return m.End
	})
	if data[start] != '{' {
		require.Equal(t, jsonscan.Invalid, end)
		return
	}
	require.Equal(t, len(bytes.TrimRight(data, " \t\r\n")), end)
	var want map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data, &want))
	require.Equal(t, want, got)
}

// Positions that are outside of the text, or in the middle of something, are no danger.
func TestAnyPosition(t *testing.T) {
	data := []byte(`{"a":["\u00e9",-1.5e3,true]}`)
	s := &jsonscan.Scanner{Data: data, MaxDepth: jsonscan.MaxDepth}
	for at := range len(data) + 2 {
		end := s.Value(at, 0)
		require.True(t, end == jsonscan.Invalid || json.Valid(data[at:end]))
		s.Object(at, 0, func(m jsonscan.Member) int { return s.Value(m.Value, 1) })
		s.Space(at)
	}
}

func TestDepthIsBounded(t *testing.T) {
	for text, depth := range map[string]int{`[]`: 1, `{"a":1}`: 1, `[1,{"a":[2]}]`: 3} {
		require.True(t, (&jsonscan.Scanner{Data: []byte(text), MaxDepth: depth}).Valid(), text)
		require.False(t, (&jsonscan.Scanner{Data: []byte(text), MaxDepth: depth - 1}).Valid(), text)
	}
	s := &jsonscan.Scanner{Data: []byte(`{"a":[]}`), MaxDepth: 5}
	require.Equal(t, 8, s.Value(0, 3))
	require.Equal(t, jsonscan.Invalid, s.Value(0, 4))
}

// A function that returns Invalid ends the walk.
func TestWalksEnd(t *testing.T) {
	s := &jsonscan.Scanner{Data: []byte(`{"a":1,"b":2}`), MaxDepth: 1}
	calls := 0
	require.Equal(t, jsonscan.Invalid,
		s.Object(0, 0, func(jsonscan.Member) int { calls++; return jsonscan.Invalid }))
	require.Equal(t, 1, calls)
}
