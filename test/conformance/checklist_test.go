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

package conformance

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A checklist is refused if an item has no evidence, or if the evidence cannot fail.
func TestChecklistsAreRefused(t *testing.T) {
	item := func(rest string) string {
		return "title: t\ntests:\n- name: n\n  behaviours: 1\n  items:\n  - {id: a, holds: h" +
			rest + "}\n"
	}
	const shown = ", wasmctl: {steps: [{args: [run], output: [text]}]}"
	request := func(rest string) string {
		return item(", server: {policies: [{module: m}], steps: [{" + rest + "}]}")
	}
	for name, test := range map[string]struct{ text, err string }{
		"by wasmctl":  {item(shown), ""},
		"by a server": {request("create: {kind: ConfigMap}, verdicts: {a: allowed}"), ""},
		"shows nothing": {request("create: {kind: ConfigMap}, values: {a: b}"),
			"a request that is admitted shows nothing"},
		"by Go": {item(
			", tests: [{package: test/conformance, names: [TestChecklistsAreRefused/by Go]}]"), ""},
		"does not apply": {item(", reason: because"), ""},
		"no evidence": {item(""),
			"either wasmctl, server or tests, or a reason is required"},
		"evidence, reason": {item(shown + ", reason: because"),
			"either wasmctl, server or tests, or a reason is required"},
		"unknown field": {item(", shows: all"), "unknown field"},
		"no id": {"title: t\ntests: [{name: n, behaviours: 1, items: [{holds: h, reason: r}]}]",
			`the id "" is not a DNS label`},
		"id twice": {item(", reason: r") + "  - {id: a, holds: h, reason: r}\n",
			"a: duplicate id"},
		"no sentence": {"title: t\ntests: [{name: n, behaviours: 1, items: [{id: a, reason: r}]}]",
			"holds is required"},
		"too few items": {"title: t\ntests: [{name: n, behaviours: 2, items: [{id: a, holds: h, reason: r}]}]",
			"an item for each of 2 behaviors"},
		"no behaviours": {"title: t\ntests: [{name: n, items: []}]",
			"an item for each of 0 behaviors"},
		"unknown test": {item(", tests: [{package: pkg/abi, names: [TestNothing]}]"),
			"pkg/abi has no test TestNothing"},
		"unknown package": {item(", tests: [{package: pkg/none, names: [TestNothing]}]"),
			"pkg/none has no test TestNothing"},
		"no tests": {item(", tests: [{package: pkg/abi, names: []}]"),
			"names are required"},
		"unknown rationale": {item(shown + ", rationale: \"Why not?\""),
			`docs/rationale has no question "Why not?"`},
		"no steps": {item(", wasmctl: {steps: []}"), "wasmctl: steps are required"},
		"no arguments": {item(", wasmctl: {steps: [{args: []}]}"),
			"steps[0]: args are required"},
		"nothing expected": {item(", wasmctl: {steps: [{args: [run], exitCode: 1}]}"),
			"no step expects values"},
		"no policies": {item(", server: {steps: [{create: {}}]}"),
			"policies, groups or a manifest are required"},
		"neither": {item(", server: {policies: [{module: m}]}"),
			"either steps or texts of a refusal are required"},
		"no request": {request("code: 400"),
			"one of create, update and delete is required"},
		"two requests": {request("create: {}, delete: any"),
			"one of create, update and delete is required"},
		"nothing of a test": {request("create: {}, wants: 1"), "unknown field"},
		"in process": {item(
			", server: {inProcess: Cost, policies: [{module: m}], refused: [a]}"), ""},
		"unknown row": {item(
			", server: {inProcess: Price, policies: [{module: m}], refused: [a]}"),
			`docs/webhook.md has no row "Price"`},
		"refused and served": {item(
			", server: {policies: [{module: m}], refused: [a], steps: [{create: {}}]}"),
			"either steps or texts of a refusal are required"},
	} {
		t.Run(name, func(t *testing.T) {
			c := checker{
				root:      root,
				ids:       map[string]bool{},
				questions: map[string]string{"Why?": "a.md"},
				webhook:   []byte("| |\n| Cost | one |\n"),
			}
			_, err := c.part([]byte(test.text))
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
}

// Every kind of expectation reports an error if it is not met.
func TestAnswersAreCompared(t *testing.T) {
	const answer = `{"uid":"u","allowed":true,"patchType":"JSONPatch","patch":"W10="}`
	for name, test := range map[string]struct {
		step Step
		out  output
		err  string
	}{
		"as expected": {Step{
			Values: map[string]string{"{.allowed}": "true", "{.status}": ""},
			Patch:  "[]",
			Answer: answer,
			Output: []string{"log"},
			Lacks:  []string{"no"},
		}, output{"{}\n" + answer + "\n", "log", 0}, ""},
		"exit code": {Step{}, output{"", "", 1}, "the exit code is 1, not 0"},
		"output":    {Step{Output: []string{"b"}}, output{"a", "a", 0}, `the output lacks "b"`},
		"lacks":     {Step{Lacks: []string{"a"}}, output{"", "a", 0}, `the output has "a"`},
		"value": {Step{Values: map[string]string{"{.allowed}": "false"}},
			output{answer, "", 0}, `{.allowed} is "true", not "false"`},
		"missing value": {Step{Values: map[string]string{"{.code}": "1"}}, output{answer, "", 0},
			`{.code} is "", not "1"`},
		"no JSON": {Step{Values: map[string]string{"{.code}": ""}}, output{"text", "", 0},
			"the answer is not JSON"},
		"answer":   {Step{Answer: "{}"}, output{answer, "", 0}, "the answer is " + answer},
		"patch":    {Step{Patch: "[{}]"}, output{answer, "", 0}, "the patch is of type"},
		"no patch": {Step{Patch: "[]"}, output{"{}", "", 0}, "the patch is of type"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.step.compare(test.out, func(text string) string { return text })
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
}

func TestVerdictsAreCompared(t *testing.T) {
	refusal := &apierrors.StatusError{ErrStatus: metav1.Status{Code: 418, Message: "no such fruit",
		Details: &metav1.StatusDetails{
			Causes: []metav1.StatusCause{{Field: "b", Message: "2"}, {Field: "a", Message: "1"}},
		}}}
	for name, test := range map[string]struct {
		request Request
		answer  error
		err     string
	}{
		"admitted": {Request{}, nil, ""},
		"denied": {Request{
			Code:       418,
			Message:    "no such fruit",
			Contains:   []string{"fruit"},
			Causes:     []string{"a: 1", "b: 2"},
			CauseParts: []string{"b: "},
			Lacks:      []string{"x"},
		}, refusal, ""},
		"not admitted": {Request{}, refusal, "no such fruit"},
		"not denied":   {Request{Code: 418}, nil, "the request was not denied"},
		"not by the server": {Request{Code: 418}, errors.New("no network"),
			"the request was not denied: no network"},
		"code":    {Request{Code: 400}, refusal, "denied with 418"},
		"message": {Request{Message: "no"}, refusal, "denied with 418"},
		"part": {Request{Contains: []string{"fruit", "cake"}}, refusal,
			"denied with 418"},
		"lacks":           {Request{Code: 418, Lacks: []string{"fruit"}}, refusal, "denied with"},
		"causes":          {Request{Causes: []string{"a: 1"}}, refusal, "the causes are"},
		"part of a cause": {Request{CauseParts: []string{"c"}}, refusal, "the causes are"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.request.compareVerdict(&place{}, test.answer)
			if test.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.err)
			}
		})
	}
	require.ErrorContains(t, (&warnings{[]string{"a"}}).compare([]string{"b"}), "the warnings are")
	require.ErrorContains(t, (&warnings{}).compare([]string{"b"}), "the warnings are")
	annotations := map[string]string{
		"a":                              "text",
		"wasm.admission.k8s.io/validate": `{"policies":[{"policy":"p","verdict":"denied"}]}`,
	}
	require.NoError(t,
		(&Request{
			Audit:    map[string]string{"a": "ex"},
			Verdicts: map[string]string{"p": "denied", "q": ""},
		}).compareAnnotations(&place{}, annotations))
	require.ErrorContains(t,
		(&Request{Audit: map[string]string{"b": "ex"}}).compareAnnotations(&place{}, annotations),
		"the audit annotations are")
	require.ErrorContains(t,
		(&Request{Verdicts: map[string]string{"p": "allowed"}}).compareAnnotations(&place{},
			annotations), "the verdicts are")
	require.ErrorContains(t,
		(&Request{Verdicts: map[string]string{"p": ""}}).compareAnnotations(&place{}, annotations),
		"the verdicts are")
	require.ErrorContains(t, lacks("a log", []string{"log", "no"}), `the log lacks "no"`)
}

func TestGoTestsAreCompared(t *testing.T) {
	passed := goTests{"pkg/a TestA": true, "pkg/a TestA/a_case": true}
	require.NoError(t,
		passed.show([]Test{{Package: "pkg/a", Names: []string{"TestA", "TestA/a case"}}}))
	require.ErrorContains(t,
		passed.show([]Test{{Package: "pkg/a", Names: []string{"TestA", "TestA/other"}}}),
		"pkg/a: TestA/other has not passed")
	require.Equal(t, "TestA/a_case",
		passLine.FindStringSubmatch("    --- PASS: TestA/a_case (0.00s)")[1])
	require.Nil(t, passLine.FindStringSubmatch("--- SKIP: TestA (0.00s)"))
}

// The table shows failed items, and the figures count them.
func TestResultsAreTold(t *testing.T) {
	parts := []Part{{Title: "t", Tests: []Upstream{{Name: "n", Behaviours: 2, Items: []Item{
		{ID: "good", Holds: "a | b", Wasmctl: &Wasmctl{}, Server: &Server{}},
		{ID: "bad", Holds: "c", Wasmctl: &Wasmctl{}},
		{
			ID: "other", Holds: "d", Server: &Server{}, Differs: "in colour", Rationale: "Why not?",
			page: "a.md",
		}, {ID: "refused", Holds: "e", Wasmctl: &Wasmctl{}, Refused: "there is none"},
		{ID: "out", Holds: "f", Reason: "because"},
	}}}}}
	require.Len(t, notRun(parts), 4, "all that apply")
	results := Results{"bad": errors.New("x")}
	require.Equal(t, count{
		tests:      1,
		behaviours: 2,
		items:      5,
		hold:       1,
		differ:     1,
		refused:    1,
		fail:       1,
		out:        1,
		byWasmctl:  3,
		byServer:   2,
		byBoth:     1,
	}, tally(parts, results))
	document := Document(parts, results)
	require.Contains(t, document, "| n | a \\| b | yes | ✓ | ✓ |  |")
	require.Contains(t, document, "| n | c | fails | ✓ |  |  |")
	require.Contains(t, document, "* in colour ([Why not?](rationale/a.md#why-not)).\n  * n: d\n")
	require.Contains(t, document, "* there is none.\n  * n: e\n")
	require.Contains(t, document, "* because.\n  * n: f\n")
	require.NotEqual(t, document, Document(parts, nil))
}
