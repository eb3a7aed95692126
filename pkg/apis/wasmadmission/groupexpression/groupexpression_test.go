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

package groupexpression_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/groupexpression"
)

var members = []string{"no", "yes", "fails", "_a1"}

var errMember = errors.New("the member failed")

// verdicts records which members are called, and answers for them.
type verdicts []string

func (v *verdicts) call(member string) (bool, error) {
	*v = append(*v, member)
	if member == "fails" {
		return true, errMember
	}
	return member == "yes", nil
}

func TestEvaluate(t *testing.T) {
	for expression, test := range map[string]struct {
		want   bool
		called string
	}{
		"true":                          {true, ""},
		"!true":                         {false, ""},
		"yes()":                         {true, "yes"},
		"no()":                          {false, "no"},
		"!no()":                         {true, "no"},
		"!!no()":                        {false, "no"},
		"!!!no()":                       {true, "no"},
		"yes() || no()":                 {true, "yes"},
		"no() || yes()":                 {true, "no yes"},
		"no() && fails()":               {false, "no"},
		"yes() || fails()":              {true, "yes"},
		"yes() && no()":                 {false, "yes no"},
		"yes() && _a1()":                {false, "yes _a1"},
		"yes() == no()":                 {false, "yes no"},
		"no() == no()":                  {true, "no no"},
		"no() != yes()":                 {true, "no yes"},
		"no() == no() == yes()":         {true, "no no yes"},
		"no() && yes() || yes()":        {true, "no yes"},
		"no() && (yes() || yes())":      {false, "no"},
		"no() || no() || yes() || no()": {true, "no no yes"},
		"yes() && yes() && no() && yes() && yes()": {false, "yes yes no"},
		"( (yes( )) )\n&& // why\n yes()":          {true, "yes yes"},
	} {
		t.Run(expression, func(t *testing.T) {
			program, err := groupexpression.Compile(expression, members)
			require.NoError(t, err)
			var called verdicts
			got, err := program.Evaluate(t.Context(), called.call)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			require.Equal(t, strings.Fields(test.called), []string(append(verdicts{}, called...)))
		})
	}
}

// CEL itself would return true: it drops the error of one side if the other side decides.
func TestEvaluateStopsAtErrors(t *testing.T) {
	for _, expression := range []string{
		"fails() || yes()", "fails() && no()", "fails() == yes()", "!fails() || yes()",
		"no() || (fails() != no()) || yes()",
	} {
		program, err := groupexpression.Compile(expression, members)
		require.NoError(t, err)
		var called verdicts
		got, err := program.Evaluate(t.Context(), called.call)
		require.Equal(t, errMember, err, expression)
		require.False(t, got)
		require.Equal(t, "fails", called[len(called)-1])
	}
}

func TestEvaluateHonorsItsContext(t *testing.T) {
	program, err := groupexpression.Compile("no() || yes()", members)
	require.NoError(t, err)
	reason := errors.New("took too long")
	ctx, cancel := context.WithCancelCause(t.Context())
	var called verdicts
	_, err = program.Evaluate(ctx, func(member string) (bool, error) {
		cancel(reason)
		return called.call(member)
	})
	require.Equal(t, reason, err)
	require.Equal(t, verdicts{"no"}, called)
}

func TestMembers(t *testing.T) {
	program, err := groupexpression.Compile("yes() || no() && !(yes() == true)", members)
	require.NoError(t, err)
	require.Equal(t, []string{"yes", "no"}, program.Members())
}

func TestCompileRefuses(t *testing.T) {
	const (
		operators = "only the operators ==, !=, ||, && and ! can be used"
		operands  = "only members, true and false can be combined"
		unknown   = " is not a member of the group: correct its name or add it to policies"
		nested    = "operators or parentheses are nested more than 50 deep: write a flatter expression"
	)
	for _, test := range []struct{ expression, want string }{
		{"", "is empty: call at least one member"},
		{" \n", "is empty: call at least one member"},
		{"()", "line 1, column 2: Syntax error: mismatched input ')'"},
		{"yes() ||", "line 1, column 9: Syntax error: mismatched input '<EOF>'"},
		{"yes() and no()", "line 1, column 7: Syntax error: mismatched input 'and'"},
		{"yes() | no()", "line 1, column 7: Syntax error: token recognition error at: '| '"},
		{"yes()\n|| maybe()", "line 2, column 9: maybe" + unknown},
		{"maybe() || perhaps", "line 1, column 6: maybe" + unknown +
			"; line 1, column 12: perhaps" + unknown},
		{"yes", "line 1, column 1: names yes without calling it: write yes()"},
		{"yes(no())", "line 1, column 4: passes an argument to yes, which takes none: write yes()"},
		{"yes().no()", "line 1, column 9: no" + unknown},
		{".yes()", "line 1, column 5: " + operators},
		{"yes().no", "line 1, column 6: " + operands},
		{"1", "line 1, column 1: " + operands},
		{"'yes' == 'yes'", "line 1, column 1: " + operands + "; line 1, column 10: " + operands},
		{"null", "line 1, column 1: " + operands},
		{"yes() == 1", "line 1, column 10: " + operands},
		{"[yes()] == [no()]", "line 1, column 1: " + operands + "; line 1, column 12: " + operands},
		{"{yes(): 1}", "line 1, column 1: " + operands},
		{"yes() ? no() : yes()", "line 1, column 7: " + operators},
		{"yes() < no()", "line 1, column 7: " + operators},
		{"yes() in [true]", "line 1, column 7: " + operators},
		{"-1 == 1", "line 1, column 1: " + operands + "; line 1, column 7: " + operands},
		{"-yes()", "line 1, column 1: " + operators},
		{"[yes()][0]", "line 1, column 8: " + operators},
		{"has(yes.no)", "line 1, column 4: has" + unknown},
		{"[true].all(x, x)", "line 1, column 11: all" + unknown},
		{strings.Repeat("a", 100) + "()", "line 1, column 101: " + strings.Repeat("a", 64) + "…" +
			unknown},
		{strings.Repeat("(", 60) + "yes()" + strings.Repeat(")", 60), nested},
		{"yes()" + strings.Repeat(" == yes()", 60), nested},
		{strings.Repeat(" ", groupexpression.MaxSize-4) + "yes()",
			"has 8193 bytes: write at most 8192"},
	} {
		t.Run(test.expression[:min(20, len(test.expression))], func(t *testing.T) {
			program, err := groupexpression.Compile(test.expression, members)
			require.EqualError(t, err, test.want)
			require.Nil(t, program)
		})
	}
}

// Depth is not length: a long expression can be flat. Even the largest text compiles fast.
func TestCompileIsBounded(t *testing.T) {
	long := "yes()" + strings.Repeat(" && yes()", (groupexpression.MaxSize-5)/9)
	program, err := groupexpression.Compile(long, members)
	require.NoError(t, err)
	var called verdicts
	got, err := program.Evaluate(t.Context(), called.call)
	require.NoError(t, err)
	require.True(t, got)
	require.Len(t, called, strings.Count(long, "yes"))

	for _, piece := range []string{
		"(", "!", "yes(", "[", "{", "a.", "yes()==", "yes()?", "?", "-", "\"", "'''", "a[", "((a)",
		"true||(", "\x00", "é",
	} {
		start := time.Now()
		_, err := groupexpression.Compile(strings.Repeat(piece, groupexpression.MaxSize/len(piece)),
			members)
		require.Error(t, err, piece)
		t.Log(piece, time.Since(start))
	}
}

func TestIsMemberName(t *testing.T) {
	for _, name := range []string{"a", "_", "A1_b", "in_"} {
		require.True(t, groupexpression.IsMemberName(name), name)
		_, err := groupexpression.Compile(name+"()", []string{name})
		require.NoError(t, err)
	}
	for _, name := range []string{"", "1a", "a-b", "a.b", "é", "a\n"} {
		require.False(t, groupexpression.IsMemberName(name), name)
	}
	for _, word := range strings.Fields(
		"true false null in as break const continue else for function if import let " +
			"loop package namespace return var void while") {
		require.False(t, groupexpression.IsMemberName(word), word)
	}
}

// Compiling any text ends without a panic, and every program can be evaluated.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"yes() || (no() && !fails())", "true != false", "((", "yes(1)", "a.b().c", "[1,2]",
		"\"\\u00e9\"", "yes() ? 1 : 2", "`a`()", "x{}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		program, err := groupexpression.Compile(expression, members)
		if err != nil {
			require.Nil(t, program)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		_, err = program.Evaluate(t.Context(), func(string) (bool, error) { return true, nil })
		require.NoError(t, err)
	})
}
