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

package topdown

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// evaluation calls functions in the way that one evaluation does.
type evaluation struct {
	memo  any
	lines []string
	// fuel limits the fuel that may be burned. Zero is no limit.
	burned, fuel int64
}

func (e *evaluation) call(ctx context.Context, b Builtins, name string,
	arguments ...string) (string, error) {
	c := &rego.BuiltinCall{
		Context: ctx, Memo: &e.memo, Limit: 1000,
		Burn: func(units int64) error {
			if e.burned += units; e.fuel > 0 && e.burned > e.fuel {
				return &engine.LimitError{Limit: "units of fuel", Value: e.burned, Max: e.fuel}
			}
			return nil
		},
		Print: func(line string) { e.lines = append(e.lines, line) },
	}
	for _, argument := range arguments {
		c.Arguments = append(c.Arguments, []byte(argument))
	}
	result, err := b.Builtin(name)(c)
	return string(result), err
}

func TestBuiltins(t *testing.T) {
	for _, test := range []struct {
		name      string
		arguments []string
		want, err string
	}{
		{"sprintf", []string{`"%s is %d"`, `["a", 1]`}, `"a is 1"`, ""},
		{"sprintf", []string{`"\"\u0001%v"`, `[{1}]`}, `"\"\u0001{1}"`, ""},
		{"date", []string{`0`}, `[1970,1,1]`, ""},
		{"parse_rfc3339_ns", []string{`"1970-01-01T00:00:01Z"`}, `1000000000`, ""},
		{"sprintf", []string{`"%.1f %d"`, `[.50, 1]`}, `"0.5 1"`, ""},
		{"hex.encode", []string{`"\n"`}, `"0a"`, ""},
		{"regex.split", []string{`"-"`, `"a-b"`}, `["a","b"]`, ""},
		{"json.patch", []string{`{"a":{1,2}}`, `[{"op":"remove","path":"/a"}]`}, `{}`, ""},
		// Kubewarden's host has this function, and its errors end the evaluation there.
		{"yaml.unmarshal", []string{`"[:"`}, "", "yaml.unmarshal"},
		// Kubewarden's host lacks this function. Its errors make it undefined, as in the Open
		// Policy Agent.
		{"units.parse", []string{`"x"`}, "", ""},
		{"sprintf", []string{`"` + strings.Repeat("%[1]1000000d", 6) + `"`, `[1]`}, "",
			"bytes of memory for one call, at most 16777216 are allowed"},
		{"sprintf", []string{`"%9999999d"`, `[1]`}, "",
			"bytes of result, at most 1000 are allowed"},
		{"net.cidr_expand", []string{`"10.0.0.0/8"`}, "",
			"limit exceeded: 83886080000 units of fuel for one call, at most 1000000000 are allowed"},
		{"numbers.range_step", []string{`0`, `1000000000000`, `1`}, "",
			"units of fuel for one call"},
		{"net.cidr_expand", []string{`"10.0.0.0/33"`}, "", ""},
		{"net.cidr_expand", []string{`"10.0.0.0/031"`}, `{"10.0.0.0","10.0.0.1"}`, ""},
		{"net.cidr_merge", []string{`["10.0.0.0/9", "10.128.0.0/9", "2001:db8::/32"]`},
			`{"10.0.0.0/8","2001:db8::/32"}`, ""},
		{"units.parse", []string{`"1e1000000000"`}, "", ""},
		{"units.parse", []string{`"1e2Ki"`}, "102400", ""},
		{"numbers.range_step", []string{`1`, `5`, `2`}, `[1,3,5]`, ""},
		{"regex.replace", []string{
			`"` + strings.Repeat("a", 4000) + `"`, `"a"`, `"` + strings.Repeat("b", 1000) + `"`,
		}, "", "bytes of memory for one call"},
		{"urlquery.encode", []string{`"` + strings.Repeat("%", 400) + `"`}, "",
			"bytes of result, at most 1000 are allowed"},
		{"sprintf", []string{`"%d"`, `[1e1000000000]`}, "",
			"the exponent of 1e1000000000 is beyond 1000"},
		{"sprintf", []string{`"%v"`, `[input]`}, "", "a value is missing"},

		{"graph.reachable_paths", []string{`{"a":["b","c"],"b":["c"],"c":["a"]}`, `["a"]`},
			`{["a","b","c"],["a","c"]}`, ""},
		{"graph.reachable_paths", []string{`{"a":null}`, `{"a","b"}`}, `{["a"]}`, ""},
		{"graph.reachable_paths", []string{`1`, `["a"]`}, "", ""},
		{"graph.reachable_paths", []string{completeGraph(12), `["n0"]`}, "",
			"nodes of paths, at most 200000 are allowed"},
		{"graph.reachable_paths", []string{`{"` + strings.Repeat("a", 300<<10) + `":[]}`, `["a"]`},
			"", "bytes of a graph"},

		{"regex.globs_match", []string{`"a.*[0-9]+"`, `".b.*1"`}, `true`, ""},
		{"regex.globs_match", []string{`"a.*"`, `"b.*"`}, `false`, ""},
		{"regex.globs_match", []string{`"a]"`, `"b"`}, "", ""},
		{"regex.globs_match", []string{
			`"` + strings.Repeat("a*", 20) + `"`, `"` + strings.Repeat("a+", 20) + `b"`,
		}, "", "units of fuel for one call"},
		{"regex.globs_match", []string{`"[!-\udbff\udfff]"`, `"` + strings.Repeat("a", 20) + `"`},
			"", "units of fuel for one call"},
		{"regex.globs_match", []string{`"[a-\\\udbff\udfff]"`, `"` + strings.Repeat("a", 20) + `"`},
			"", "units of fuel for one call"},

		{"strings.render_template", []string{
			`"a{{range $n, $x := .l}}{{if $n}}, {{end}}{{$x}}{{end}}{{if eq (index .l 1) \"c\"}}!{{end}}{{.m}}"`,
			`{"l":["b","c"]}`,
		}, `"ab, c!\u003cundefined\u003e"`, ""},
		{"strings.render_template", []string{`"{{"`, `{}`}, "", ""},
		{"strings.render_template", []string{
			`"{{range .l}}{{range $.l}}{{range $.l}}{{.}}{{end}}{{end}}{{end}}"`,
			`{"l":[` + strings.Repeat("1,", 100) + `1]}`,
		}, "", "units of fuel for one call"},
		{"strings.render_template", []string{
			`"` + strings.Repeat("{{range .l}}", 100) + strings.Repeat("{{end}}", 100) + `"`,
			`{"l":[1,2,3]}`,
		}, "", "units of fuel for one call"},
		{"strings.render_template", []string{`"{{range 1000000000}}{{end}}"`, `{}`}, "",
			`must not have "1000000000"`},
		{"strings.render_template", []string{
			`"{{$n := or 1000000000 1}}{{range $n}}{{end}}"`, `{}`,
		}, "", `must not have "1000000000"`},
		{"strings.render_template", []string{`"{{range (and true 1000000000)}}{{end}}"`, `{}`}, "",
			`must not have "1000000000"`},
		{"strings.render_template", []string{`"{{printf \"%1000000d\" 1}}"`, `{}`}, "",
			`must not have "printf"`},
		{"strings.render_template", []string{`"{{range .s | len}}{{end}}"`, `{"s":"abc"}`}, "",
			`must not have "len"`},
		{"strings.render_template", []string{`"{{define \"t\"}}{{end}}"`, `{}`}, "",
			"must not define others"},
		{"strings.render_template", []string{`"{{template \"t\" .}}"`, `{}`}, "",
			`must not have "{{template`},
		{"strings.render_template", []string{`"` + strings.Repeat(" ", 20_000) + `"`, `{}`}, "",
			"bytes of a template"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := new(evaluation).call(t.Context(), Builtins{}, test.name, test.arguments...)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

// completeGraph returns a graph in which each node leads to all nodes.
func completeGraph(nodes int) string {
	var names, edges []string
	for n := range nodes {
		names = append(names, fmt.Sprintf(`"n%d"`, n))
	}
	for _, name := range names {
		edges = append(edges, name+":["+strings.Join(names, ",")+"]")
	}
	return "{" + strings.Join(edges, ",") + "}"
}

func TestErrorsAreUndefinedIfWanted(t *testing.T) {
	got, err := new(evaluation).call(t.Context(), Builtins{UndefinedErrors: true}, "yaml.unmarshal",
		`"[:"`)
	require.NoError(t, err)
	require.Empty(t, got)
}

// Each function of the Open Policy Agent is provided, compiled into the module, or withheld for a
// reason. This test fails for a new function in a new version, until somebody decides about it.
func TestEachFunctionIsDecidedOn(t *testing.T) {
	known := map[string]bool{}
	for _, f := range ast.Builtins {
		known[f.Name] = true
		var kinds []string
		if lent[f.Name] != nil {
			kinds = append(kinds, "lent")
		}
		if slices.Contains(native, f.Name) {
			kinds = append(kinds, "native")
		}
		if withheld[f.Name] != "" {
			kinds = append(kinds, "withheld")
		}
		require.Len(t, kinds, 1, f.Name)
	}
	for _, name := range slices.Concat(native, slices.Collect(maps.Keys(lent)),
		slices.Collect(maps.Keys(withheld)), slices.Collect(maps.Values(aliases))) {
		require.True(t, known[name], "there is no function %s", name)
	}
}

func TestOnlyWhatIsLentIsThere(t *testing.T) {
	require.Nil(t, Builtins{}.Builtin("no.such"))
	require.Empty(t, Builtins{}.Withheld("no.such"))
	for _, name := range slices.Concat(native, slices.Collect(maps.Keys(withheld))) {
		require.Nil(t, Builtins{}.Builtin(name), name)
		require.NotEmpty(t, Builtins{}.Withheld(name), name)
	}
	for _, name := range slices.Concat(strict, slices.Collect(maps.Keys(lent)),
		slices.Collect(maps.Keys(aliases))) {
		require.NotNil(t, Builtins{}.Builtin(name), name)
		require.Empty(t, Builtins{}.Withheld(name), name)
	}
}

func TestTimeStandsStill(t *testing.T) {
	var one evaluation
	first, err := one.call(t.Context(), Builtins{}, "time.now_ns")
	require.NoError(t, err)
	again, err := one.call(t.Context(), Builtins{}, "time.now_ns")
	require.NoError(t, err)
	require.Equal(t, first, again)
}

func TestChanceIsNotRepeated(t *testing.T) {
	var one, other evaluation
	first, err := one.call(t.Context(), Builtins{}, "uuid.rfc4122", `"k"`)
	require.NoError(t, err)
	again, err := one.call(t.Context(), Builtins{}, "uuid.rfc4122", `"k"`)
	require.NoError(t, err)
	require.Equal(t, first, again, "within an evaluation")
	next, err := other.call(t.Context(), Builtins{}, "uuid.rfc4122", `"k"`)
	require.NoError(t, err)
	require.NotEqual(t, first, next, "from one to the next")
}

func TestTraceAndPrint(t *testing.T) {
	var e evaluation
	_, err := e.call(t.Context(), Builtins{}, "trace", `"note"`)
	require.NoError(t, err)
	_, err = e.call(t.Context(), Builtins{}, "internal.print", `[{"a"}, {1, 2}]`)
	require.NoError(t, err)
	require.Equal(t, []string{"note", "a 1", "a 2"}, e.lines)
	_, err = e.call(t.Context(), Builtins{}, "trace", `1`)
	require.EqualError(t, err, "trace takes a string, not number")
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := new(evaluation).call(ctx, Builtins{}, "internal.print", `[{"a"}]`)
	require.ErrorIs(t, errors.Unwrap(err), context.Canceled)
}

func TestValues(t *testing.T) {
	for _, text := range []string{
		`null`, `true`, `-1.5e3`, `"a\"\\\u0007é"`, `[]`, `[1,[2]]`, `{}`, `set()`, `{1,{2}}`,
		`{"a":1}`, `{1:{2:3}}`, `{{1}:set()}`,
	} {
		value, err := parseValue([]byte(text), &counts{})
		require.NoError(t, err, text)
		p := printed{limit: 100}
		p.value(value, 0)
		require.NoError(t, p.err)
		require.Equal(t, text, string(p.text))
	}
	for text, want := range map[string]string{
		``: "a value is missing", `{1,2:3}`: "an object and a set at once",
		`{1:2,3}`: "an object and a set at once",
		`[1`:      `']' is missing`, `1 2`: "something follows the value",
		`"a`:     "a string does not end",
		`set(1)`: "is missing",
		`01`:     "invalid character", `x`: "a value is missing", `input.a`: "a value is missing",
		`1e1001`:                       "beyond 1000",
		strings.Repeat("[", 1_000_000): "nests more than 1000 levels deep",
		strings.Repeat("{", 1_000_000): "nests more than 1000 levels deep",
	} {
		_, err := parseValue([]byte(text), &counts{})
		require.ErrorContains(t, err, want, "%.10s", text)
	}
}

func FuzzParseValue(f *testing.F) {
	f.Add([]byte(`{"a": [1, {2, "x"}, set(), {3: null}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := parseValue(text, &counts{})
		if err != nil {
			return
		}
		p := printed{limit: 1 << 20}
		p.value(value, 0)
		require.NoError(t, p.err)
		again, err := parseValue(p.text, &counts{})
		require.NoError(t, err)
		require.Zero(t, value.Compare(again))
	})
}
