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
	"fmt"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/stretchr/testify/require"
)

// The guest pays for all calls. A call that it cannot pay for is not made.
func TestCallsBurnFuel(t *testing.T) {
	var e evaluation
	_, err := e.call(t.Context(), Builtins{}, "hex.encode", `"a"`)
	require.NoError(t, err)
	small := e.burned
	require.GreaterOrEqual(t, small, int64(callWork))
	e = evaluation{}
	_, err = e.call(t.Context(), Builtins{}, "hex.encode", `"`+strings.Repeat("a", 400)+`"`)
	require.NoError(t, err)
	require.Greater(t, e.burned, small+400*byteWork)
	for _, fuel := range []int64{1, callWork + 10*byteWork, e.burned - 1} {
		e = evaluation{fuel: fuel}
		_, err = e.call(t.Context(), Builtins{}, "hex.encode", `"`+strings.Repeat("a", 400)+`"`)
		require.ErrorContains(t, err, "units of fuel")
	}
}

func TestArgumentsAreBounded(t *testing.T) {
	for _, test := range []struct {
		name      string
		arguments []string
		err       string
	}{
		{"hex.encode", []string{}, "it takes 1 arguments, not 0"},
		{"sprintf", []string{`"a"`}, "it takes 2 arguments, not 1"},
		{"hex.encode", []string{`"` + strings.Repeat("a", maxArgumentBytes) + `"`},
			"bytes of arguments, at most 2097152 are allowed"},
		{"yaml.marshal", []string{"[" + strings.Repeat("1,", maxElements) + "1]"},
			"values in arguments, at most 50000 are allowed"},
		{"sprintf", []string{`"%v"`, "[" + strings.Repeat("1,", maxElements-2) + "1]"},
			"values in arguments, at most 50000 are allowed"},
		{"yaml.marshal", []string{strings.Repeat("1", maxDigits+1)},
			"bytes of a number, at most 1000 are allowed"},
		{"yaml.marshal", []string{"{" + numbers("0.%04d1", 700) + "}"},
			"comparisons of members with the same hash, at most 200000 are allowed"},
		{"uuid.rfc4122", []string{`"` + strings.Repeat("a", 300) + `"`},
			"bytes of a key, at most 256 are allowed"},
		{"time.format", []string{`[0, "UTC", "` + strings.Repeat("2", 1<<10) + `"]`},
			"bytes of times and layouts"},
		{"units.parse", []string{`"1e100000"`}, "digits of an exponent, at most 3 are allowed"},
		{"units.parse", []string{`"1e1\"000"`}, "digits of an exponent"},
		{"units.parse_bytes", []string{`"` + strings.Repeat("1", 300) + `"`},
			"bytes of a quantity"},
		{"regex.split", []string{`"a{1000}b{1000}c"`, `"a"`},
			"instructions of a regular expression, at most 2000 are allowed"},
		{"regex.find_n", []string{`"` + strings.Repeat("a", maxPatternBytes+1) + `"`, `"a"`, `1`},
			"bytes of a regular expression, at most 2048 are allowed"},
		{"regex.split", []string{`"` + strings.Repeat(`\\pL`, maxTables+1) + `"`, `"a"`},
			"classes of Unicode in a regular expression, at most 16 are allowed"},
		{"regex.split", []string{`"(?i)` + strings.Repeat(`[B-\ud83a\udd42]`, 5) + `"`, `"a"`},
			"characters in ranges of a regular expression that ignores case, at most 500000 are allowed"},
		{"regex.split", []string{`"(?si:[` + strings.Repeat(`B-\\x{1e942}`, 5) + `])"`, `"a"`},
			"characters in ranges of a regular expression that ignores case"},
		{"regex.split", []string{`"^\\pL(?:x?y){100}"`, `"a"`},
			"bytes of a regular expression when it is compiled, at most 1048576 are allowed"},
		{"regex.template_match", []string{`"x<a{1000}><a{1000}>"`, `"a"`, `"<"`, `">"`},
			"instructions of a regular expression"},
		{"regex.replace", []string{`"` + strings.Repeat("a", 10_000) + `"`, `"(a.*b)|a"`, `""`},
			"units of fuel for one call"},
		{"yaml.unmarshal", []string{`"` + bomb(20) + `"`}, "for one call"},
		{"yaml.marshal", []string{`"` + strings.Repeat(`\n`, 900_000) + `"`}, "for one call"},
		{"yaml.unmarshal", []string{`"{` + numbers(`k%d: 1`, 6000) + `}"`},
			"units of fuel for one call"},
		{"yaml.marshal", []string{object(`1`, 6000)}, "units of fuel for one call"},
		{"graph.reachable_paths", []string{completeGraph(7), `["n0"]`},
			"units of fuel for one call"},
		{"json.marshal_with_options", []string{
			`[` + strings.Repeat("1,", 1000) + `1]`, `{"indent":"` + strings.Repeat(" ", 10_000) +
				`"}`,
		}, "for one call, at most"},
		{"json.patch", []string{
			`{"a":[]}`, `[` + strings.Repeat(`{"op":"copy","from":"/a","path":"/a/-"},`, 20) +
				`{"op":"remove","path":"/a"}]`,
		}, "for one call, at most"},
		{"urlquery.encode_object", []string{
			`{"` + strings.Repeat("k", 10_000) + `":[` + strings.Repeat(`"",`, 1000) + `""]}`,
		}, "for one call, at most"},
		{"net.cidr_contains_matches", []string{
			`["` + strings.Repeat(`10.0.0.0/8","`, 300) + `10.0.0.0/8"]`,
			`["` + strings.Repeat(`10.0.0.0/8","`, 500) + `10.0.0.0/8"]`,
		}, "for one call"},
		{"net.cidr_merge", []string{
			`["10.0.0.0/8", ` + numbers(`"2001:db8::%x:0:0/112"`, 200) + `]`,
		}, "bytes of memory for one call"},
		{"object.subset", []string{
			`[` + strings.Repeat("1,", 10_000) + `1]`, `[` + strings.Repeat("1,", 20_000) + `1]`,
		}, "units of fuel for one call"},
		{"indexof_n", []string{
			`"` + strings.Repeat("a", 100_000) + `"`, `"` + strings.Repeat("a", 50_000) + `"`,
		}, "units of fuel for one call"},
		{"strings.split_n", []string{`"` + strings.Repeat("a", 200_000) + `"`, `""`, `-1`},
			"bytes of memory for one call"},
		{"internal.print", []string{`[` + strings.Repeat(`{1,2,3,4,5,6,7,8,9},`, 6) + `{1}]`},
			"units of fuel for one call"},
		{"io.jwt.decode", []string{`"` + strings.Repeat("a", 70_000) + `"`},
			"bytes of a token, at most 65536 are allowed"},
		{"crypto.x509.parse_certificates", []string{`"` + strings.Repeat("a", 70_000) + `"`},
			"bytes of certificates, at most 65536 are allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := new(evaluation).call(t.Context(), Builtins{}, test.name, test.arguments...)
			require.ErrorContains(t, err, test.err)
			require.Less(t, len(err.Error()), 2*maxErrorBytes)
		})
	}
}

// bomb returns YAML in which each line stands for twice as much as the line before.
func bomb(lines int) string {
	var b strings.Builder
	b.WriteString(`a0: &a0 [x]\n`)
	for n := range lines {
		fmt.Fprintf(&b, `a%[2]d: &a%[2]d [*a%[1]d, *a%[1]d]\n`, n, n+1)
	}
	return b.String()
}

func TestKeysAreNotKeptWithoutEnd(t *testing.T) {
	var e evaluation
	_, err := e.call(t.Context(), Builtins{}, "uuid.rfc4122", `"k"`)
	require.NoError(t, err)
	cache := (e.memo.(*topdown.BuiltinContext)).Cache
	for n := range 10_001 {
		cache.Put(n, n)
	}
	_, err = e.call(t.Context(), Builtins{}, "uuid.rfc4122", `"l"`)
	require.ErrorContains(t, err, "keys of one evaluation, at most 10000 are allowed")
}

// Calls that take much memory wait for their turn, at most until their evaluation ends.
func TestLargeCallsTakeTurns(t *testing.T) {
	var leaves []func()
	for range cap(large) {
		leave, err := enter(t.Context(), smallMemory+1)
		require.NoError(t, err)
		leaves = append(leaves, leave)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := enter(ctx, smallMemory+1)
	require.ErrorIs(t, err, context.Canceled)
	leave, err := enter(ctx, smallMemory)
	require.NoError(t, err)
	leave()
	for _, leave := range leaves {
		leave()
	}
}

func TestRangesThatIgnoreCaseAreCounted(t *testing.T) {
	for expression, want := range map[string]int64{
		"[a-z]": 0, "(?P<i>[a-z])": 0, "(?s)[a-z]": 0, "(?i)[a-z]": 'z' + 1,
		"(?i)[a-zA-Z]": 'z' + 'Z' + 2, "(?U-i:[a-z])": 'z' + 'i' + 2,
		`(?i)[\x{42}-\x{1e942}]`: lastFolded, "(?i)a-": 0xfffe, "(?i)[B-\U0010ffff]": lastFolded,
	} {
		require.Equal(t, want, folded(expression), expression)
	}
	plain, priced := priceOf("[a-z]").all(1, 0), priceOf("(?i)[a-z]").all(1, 0)
	require.Greater(t, priced.work, plain.work+foldWork*('z'-'a'))
}

func TestPatterns(t *testing.T) {
	for expression, want := range map[string]int64{
		",": 4, "ab": 8, "a|bcd": 12, `\s+`: 4, "a[bc]*": 8, "(a*)": 4, "a{2,5}": 20,
		"a*b": unbounded, "(a.*b)|a": unbounded, "(ab)*": unbounded,
		"a*?": unbounded, "a{2,}": unbounded, "^a$": 4, "a*a*": unbounded,
	} {
		p := priceOf(expression)
		require.NoError(t, p.err)
		require.Equal(t, want, min(p.ahead, unbounded), expression)
		compiled, err := syntax.Parse(expression, syntax.Perl)
		require.NoError(t, err)
		program, err := syntax.Compile(compiled.Simplify())
		require.NoError(t, err)
		require.GreaterOrEqual(t, p.instructions+3, int64(len(program.Inst)), expression)
	}
	expression, ok := templateExpression("urn:x<[a-z]+>.y", '<', '>')
	require.True(t, ok)
	require.Equal(t, `^urn:x([a-z]+)\.y$`, expression)
	_, ok = templateExpression("a>", '<', '>')
	require.False(t, ok)
}
