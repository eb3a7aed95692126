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

package admissiontest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/admissiontest"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/verdict"
)

const request = `{"uid":"u","kind":{},"resource":{},"operation":"CREATE","userInfo":{},"object":{"spec":{"a/b":[1,2,3],"c":"d"}}}`

// directory creates a directory with files, given as alternating names and contents.
func directory(t *testing.T, files ...string) string {
	t.Helper()
	directory := t.TempDir()
	for n := 0; n < len(files); n += 2 {
		path := filepath.Join(directory, files[n])
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(files[n+1]), 0o600))
	}
	return directory
}

func TestFind(t *testing.T) {
	at := directory(t, "a/cases.yaml", "", "a/b/more.cases.yml", "", "a/other.yaml", "",
		"a/.hidden/cases.yaml", "", "a/node_modules/cases.yaml", "", "c/mycases.yaml", "")
	found, err := admissiontest.Find(filepath.Join(at, "a"), filepath.Join(at, "a", "other.yaml"))
	require.NoError(t, err)
	require.Equal(t, []string{
		filepath.Join(at, "a", "b", "more.cases.yml"),
		filepath.Join(at, "a", "cases.yaml"),
		filepath.Join(at, "a", "other.yaml"),
	}, found)

	_, err = admissiontest.Find(filepath.Join(at, "c"))
	require.EqualError(t, err, filepath.Join(at, "c")+" holds no cases: write a cases.yaml")
	_, err = admissiontest.Find(filepath.Join(at, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestRead(t *testing.T) {
	at := directory(t, "cases.yaml", `
settings: {a: 1}
cases:
- {request: r/x.json, expect: {allowed: true}}
- {request: r/x.json, expect: {allowed: true, unchanged: true}, settings: {b: [2]}}
- {request: r/x.json, expect: {allowed: false, code: 0}, session: s.yml}
- {request: r/x.json, expect: {allowed: true, mutated: other.json}, name: other}
- {settings: {}}
- {settings: null, expect: {settingsError: bad}}
`, "r/x.json", request, "r/mutated/x.json", `{"m":1}`, "other.json", `{"o":1}`)
	file, err := admissiontest.Read(filepath.Join(at, "cases.yaml"))
	require.NoError(t, err)
	var names []string
	for _, c := range file.Cases {
		names = append(names, c.Name)
		require.Equal(t, filepath.Join(at, "policy.wasm"), c.Module)
	}
	require.Equal(t, []string{"x", "x (2)", "x (3)", "other", "settings {}", "settings {} (2)"},
		names)
	require.JSONEq(t, `{"m":1}`, string(file.Cases[0].Expect.Object),
		"beside the request, in mutated")
	require.JSONEq(t, `{"a":1}`, string(file.Cases[0].Settings))
	require.Nil(t, file.Cases[1].Expect.Object)
	require.JSONEq(t, `{"b":[2]}`, string(file.Cases[1].Settings))
	require.Nil(t, file.Cases[2].Expect.Object)
	require.Equal(t, filepath.Join(at, "s.yml"), file.Cases[2].Session)
	require.True(t, file.Cases[2].AllowContextAware)
	require.JSONEq(t, `{"o":1}`, string(file.Cases[3].Expect.Object))
	require.Nil(t, file.Cases[4].Request)
	require.Equal(t, "bad", *file.Cases[5].Expect.SettingsError)

	require.Len(t, admissiontest.Filter([]*admissiontest.File{file}, "(")[0].Cases, 3)
	require.Empty(t, admissiontest.Filter([]*admissiontest.File{file}, "nothing"))
}

// A key may override a merged one, as in kubectl.
func TestReadMergeKeys(t *testing.T) {
	at := directory(t, "x.json", request, "cases.yaml", `cases:
- &x {request: x.json, settings: {a: 1}, expect: {allowed: true}}
- {<<: *x, settings: {a: 2}}
`)
	file, err := admissiontest.Read(filepath.Join(at, "cases.yaml"))
	require.NoError(t, err)
	require.JSONEq(t, `{"a":2}`, string(file.Cases[1].Settings))
}

func TestReadRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, err string }{
		"unknown field": {"cases: [{requests: a}]",
			`cases.yaml: unknown field "cases[0].requests": correct its name or remove it`},
		"field of expect": {"cases: [{}, {expect: {allow: true}}]",
			`unknown field "cases[1].expect.allow": correct its name or remove it`},
		"upper case": {"cases: [{Expect: {}}]", `unknown field "cases[0].Expect"`},
		"wrong type": {"cases: [{expect: {allowed: maybe}}]",
			"cases.expect.allowed: string does not fit: write true or false"},
		"a text": {"hello", "cases.yaml: string does not fit: write an object"},
		"a key twice": {"policy: a\npolicy: b\n",
			`cases.yaml: line 2: key "policy" already set in map: remove one of the two`},
		"second document": {"cases: []\n---\ncases: []", "a second document begins"},
		"no cases":        {"policy: a", "cases: write at least one"},
		"no request there": {"cases: [{request: none.json, expect: {allowed: true}}]",
			"cases[0]: request: open "},
		"no verdict": {"cases: [{request: x.json}]",
			"cases[0]: expect.allowed: write true or false"},
		"no request": {"cases: [{settings: {}, expect: {allowed: true}}]",
			"cases[0]: expect: a response is expected without a request"},
		"message, no request": {"cases: [{settings: {}, expect: {message: a}}]",
			"a response is expected without a request"},
		"code, no request": {"cases: [{settings: {}, expect: {code: 0}}]",
			"a response is expected without a request"},
		"warnings, no request": {"cases: [{settings: {}, expect: {warnings: []}}]",
			"a response is expected without a request"},
		"settings and verdict": {"cases: [{request: x.json, expect: {settingsError: a, allowed: false}}]",
			"a policy that refuses its settings answers no request"},
		"two objects": {"cases: [{request: x.json, expect: {allowed: true, mutated: x.json, unchanged: true}}]",
			"mutated and unchanged exclude each other"},
		"two messages": {"cases: [{request: x.json, expect: {allowed: false, message: a, messageContains: b}}]",
			"message and messageContains exclude each other"},
		"no object there": {"cases: [{request: x.json, expect: {allowed: true, mutated: none.json}}]",
			"cases[0]: open "},
		"all of them": {"cases: [{request: x.json}, {request: x.json}]",
			"cases[1]: expect.allowed"},
		"too many": {"cases:\n" + strings.Repeat("- {}\n", 10_001),
			"holds more than 10000 cases"},
		"too large": {strings.Repeat("#", 16<<20+1), "is larger than 16777216 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			at := directory(t, "cases.yaml", test.text, "x.json", request)
			_, err := admissiontest.Read(filepath.Join(at, "cases.yaml"))
			require.ErrorContains(t, err, test.err)
		})
	}
}

// shell gives the same answer to all requests.
type shell struct {
	answer abi.ValidationResponse
	err    error
}

func (s *shell) Review(_ context.Context,
	c *admissiontest.Case) (*review.Request, *review.Response, error) {
	if s.err != nil || c.Request == nil {
		return nil, nil, s.err
	}
	if string(c.Request) == "panic" {
		panic("oh")
	}
	parsed, err := review.ParseRequest(c.Request)
	if err != nil {
		return nil, nil, err
	}
	return parsed, parsed.Respond(verdict.Terms{MayMutate: true}, &s.answer, nil), nil
}

func TestRun(t *testing.T) {
	text := func(text string) *string { return &text }
	number := func(n int32) *int32 { return &n }
	mutated := abi.ValidationResponse{
		Accepted:      true,
		MutatedObject: json.RawMessage(`{"spec":{"a/b":[1,5],"e":{}}}`),
	}
	for name, test := range map[string]struct {
		shell  shell
		expect admissiontest.Expectation
		want   []string
	}{
		"allowed": {shell{answer: abi.ValidationResponse{Accepted: true}},
			admissiontest.Expectation{Allowed: true}, nil},
		"verdict": {shell{answer: abi.ValidationResponse{Message: "no"}},
			admissiontest.Expectation{Allowed: true},
			[]string{"verdict\n  expected: allowed\n  got:      rejected: no"}},
		"message": {shell{answer: abi.ValidationResponse{Message: "no"}},
			admissiontest.Expectation{Message: text("n")},
			[]string{"message\n  expected: n\n  got:      no"}},
		"same message": {shell{answer: abi.ValidationResponse{Message: "no"}},
			admissiontest.Expectation{Message: text("no")}, nil},
		"part": {shell{answer: abi.ValidationResponse{Message: "no"}},
			admissiontest.Expectation{MessageContains: text("yes")},
			[]string{"message\n  expected: … yes …\n  got:      no"}},
		"part of it": {shell{answer: abi.ValidationResponse{Message: "no"}},
			admissiontest.Expectation{MessageContains: text("n")}, nil},
		"code": {shell{answer: abi.ValidationResponse{Code: 403}},
			admissiontest.Expectation{Code: number(0)},
			[]string{"code\n  expected: 0\n  got:      403"}},
		"same code": {shell{answer: abi.ValidationResponse{Code: 403}},
			admissiontest.Expectation{Code: number(403)}, nil},
		"warnings": {shell{answer: abi.ValidationResponse{Warnings: []string{"a"}}},
			admissiontest.Expectation{Warnings: []string{}},
			[]string{"warnings\n  expected: []\n  got:      [\"a\"]"}},
		"annotations": {shell{}, admissiontest.Expectation{
			AuditAnnotations: map[string]string{"a": "b"},
		}, []string{"audit annotations\n  expected: {\"a\":\"b\"}\n  got:      null"}},
		"settings": {shell{err: &admissiontest.SettingsError{Message: "bad"}},
			admissiontest.Expectation{Allowed: true},
			[]string{"settings\n  expected: accepted\n  got:      refused: bad"}},
		"bad settings": {shell{err: &admissiontest.SettingsError{Message: "bad"}},
			admissiontest.Expectation{SettingsError: text("ba")}, nil},
		"other settings": {shell{err: &admissiontest.SettingsError{Message: "bad"}},
			admissiontest.Expectation{SettingsError: text("good")},
			[]string{"settings\n  expected: refused: … good …\n  got:      refused: bad"}},
		"good settings": {shell{}, admissiontest.Expectation{SettingsError: text("bad")},
			[]string{"settings\n  expected: refused: … bad …\n  got:      accepted"}},
		"unchanged": {shell{answer: mutated}, admissiontest.Expectation{Allowed: true}, []string{
			"object\n  /spec/a~1b/1: expected 2, got 5\n  /spec/a~1b/2: expected 3, got nothing\n  /spec/c: expected \"d\", got nothing\n  /spec/e: expected nothing, got {}",
		}},
		"mutated": {shell{answer: mutated},
			admissiontest.Expectation{Allowed: true, Object: mutated.MutatedObject}, nil},
		"mutated otherwise": {shell{answer: mutated},
			admissiontest.Expectation{Allowed: true, Object: json.RawMessage(`[]`)},
			[]string{`object` + "\n" + `  /: expected [], got {"spec":{"a/b":[1,5],"e":{}}}`}},
		"rejected, mutated": {shell{
			answer: abi.ValidationResponse{MutatedObject: mutated.MutatedObject},
		}, admissiontest.Expectation{}, nil},
		"expected, no JSON": {shell{answer: mutated},
			admissiontest.Expectation{Allowed: true, Object: json.RawMessage(`{`)},
			[]string{"object: the expected object is not valid JSON: unexpected EOF"}},
		"more than one line": {shell{answer: abi.ValidationResponse{Code: 1}},
			admissiontest.Expectation{Allowed: true, Code: number(2)},
			[]string{
				"verdict\n  expected: allowed\n  got:      rejected",
				"code\n  expected: 2\n  got:      1",
			}},
	} {
		t.Run(name, func(t *testing.T) {
			file := &admissiontest.File{
				Path: "f",
				Cases: []admissiontest.Case{{
					Name: "c", Request: []byte(request), Expect: test.expect,
				}},
			}
			results := admissiontest.Run(t.Context(), &test.shell, []*admissiontest.File{file})
			require.Len(t, results, 1)
			require.NoError(t, results[0].Err)
			require.Equal(t, test.want, results[0].Failures)
			require.Equal(t, test.want == nil, results[0].Passed())
		})
	}
}

func TestRunReportsTrouble(t *testing.T) {
	files := []*admissiontest.File{{
		Path:  "f",
		Cases: []admissiontest.Case{{Request: []byte("panic")}, {Request: []byte("{}")}, {}},
	}}
	results := admissiontest.Run(t.Context(), &shell{}, files)
	require.EqualError(t, results[0].Err, "panic while the case was run: oh")
	require.ErrorContains(t, results[1].Err, "the request is not an AdmissionRequest")
	require.True(t, results[2].Passed())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, result := range admissiontest.Run(ctx, &shell{}, files) {
		require.ErrorIs(t, result.Err, context.Canceled)
	}
}

func TestWriteJUnit(t *testing.T) {
	one, two := &admissiontest.Case{Name: `a <"b">`}, &admissiontest.Case{Name: "c"}
	var text bytes.Buffer
	require.NoError(t, admissiontest.WriteJUnit(&text, []admissiontest.Result{
		{File: "f", Case: one},
		{
			File: "f", Case: two, Failures: []string{"verdict\n  expected: allowed"},
			Duration: 1_500_000_000,
		},
		{File: "g", Case: two, Err: errors.New("gone")},
	}))
	require.Equal(t, `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="f" tests="2" failures="1" errors="0" time="1.500">
    <testcase name="a &lt;&#34;b&#34;&gt;" classname="f" time="0.000"></testcase>
    <testcase name="c" classname="f" time="1.500">
      <failure message="verdict">verdict&#xA;  expected: allowed</failure>
    </testcase>
  </testsuite>
  <testsuite name="g" tests="1" failures="0" errors="1" time="0.000">
    <testcase name="c" classname="g" time="0.000">
      <error message="gone">gone</error>
    </testcase>
  </testsuite>
</testsuites>
`, text.String())
}

// Reading any file of cases terminates.
func FuzzRead(f *testing.F) {
	f.Add([]byte("cases: [{settings: {}, expect: {settingsError: a}}]"))
	f.Add([]byte("policy: p\nsettings: {a: &a 1, b: *a}\ncases:\n- {name: n}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "cases.yaml")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		file, err := admissiontest.Read(path)
		if err == nil {
			require.NotEmpty(t, file.Cases)
		}
	})
}
