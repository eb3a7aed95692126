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

package rego

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// lender provides one function.
type lender map[string]Builtin

func (l lender) Builtin(name string) Builtin { return l[name] }

func (l lender) Withheld(name string) string {
	if name == "withheld" {
		return "it is a test"
	}
	return ""
}

// host keeps the output of guests, and also serves as the cluster.
type host struct {
	mu        sync.Mutex
	lines     []string
	inventory func(context.Context) ([]byte, error)
}

func (h *host) Line(_ context.Context, source, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, source+": "+text)
}

func (h *host) Inventory(ctx context.Context, _ abi.ExecutionMode) ([]byte, uint64, error) {
	document, err := h.inventory(ctx)
	return document, 1, err
}

func (h *host) environment() *abi.Environment {
	env := &abi.Environment{
		Log:     h,
		Timeout: time.Minute,
		Limits: abi.Limits{
			RequestBytes:         100,
			ResponseBytes:        100,
			HostCallPayloadBytes: 100,
			HostCalls:            10,
			LogLineBytes:         100,
		},
	}
	if h.inventory != nil {
		env.Inventory = h
	}
	return env
}

func newEngine(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func guestBinary(t testing.TB) []byte {
	t.Helper()
	wasm, err := os.ReadFile("testdata/guest.wasm")
	require.NoError(t, err)
	return wasm
}

func loadGuest(t testing.TB, f Builtin) *Guest {
	t.Helper()
	guest, err := Load(t.Context(), newEngine(t), guestBinary(t), abi.ExecutionModeOPA,
		lender{"f": f})
	require.NoError(t, err)
	t.Cleanup(guest.Close)
	return guest
}

// answer returns a function with a constant result.
func answer(text string) Builtin {
	return func(*BuiltinCall) ([]byte, error) { return []byte(text), nil }
}

const accepts = `[{"result":{"response":{"allowed":true}}}]`

func TestOutcomes(t *testing.T) {
	var f Builtin
	guest := loadGuest(t, func(c *BuiltinCall) ([]byte, error) { return f(c) })
	for _, test := range []struct {
		name, letter string
		f            Builtin
		limits       func(*abi.Environment)
		err          string
		cause        engine.Cause
		lines        []string
	}{
		{name: "success", letter: "a"},
		{name: "a line", letter: "q", lines: []string{"console: the text"}},
		{
			name: "a long line", letter: "q", limits: func(e *abi.Environment) {
				e.Limits.LogLineBytes = 3
			}, lines: []string{"console: the"},
		},
		{
			name: "the guest gives up", letter: "o",
			err: "call of eval: Guest call failure: invalid \uFFFD text", cause: engine.CauseAbort,
		},
		{
			name: "text outside memory", letter: "z",
			err:   "text of opa_abort: a text at address 4294967295 is outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "text without end", letter: "t",
			err: "text of opa_abort: a text at address 131068 has no end", cause: engine.CauseAbort,
		},
		{
			name: "line outside memory", letter: "k",
			err:   "opa_println: a text at address 4294967295 is outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "trap", letter: "u", err: "call of eval: wasm trap: unreachable",
			cause: engine.CauseUnreachable,
		},
		{name: "status", letter: "s", err: "eval returned status 1", cause: engine.CauseAbort},
		{
			name: "memory that is none", letter: "m",
			err:   "input: 14 bytes at address 4294967294 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "no value", letter: "p", err: "the guest cannot parse its input",
			cause: engine.CauseAbort,
		},
		{
			name: "response outside memory", letter: "d",
			err:   "response: a text at address 4294967295 is outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "response without end", letter: "e",
			err: "response: a text at address 131068 has no end", cause: engine.CauseAbort,
		},
		{
			name: "response over the limit", letter: "n",
			err:   "limit exceeded: 101 bytes of response, at most 100 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "response at the limit", letter: "a", limits: func(e *abi.Environment) {
				e.Limits.ResponseBytes = int64(len(accepts))
			},
		},
		{
			name: "request over the limit", letter: "a", limits: func(e *abi.Environment) {
				e.Limits.RequestBytes = 16
			}, err: "limit exceeded: 17 bytes of request, at most 16 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "deadline", letter: "l", limits: func(e *abi.Environment) {
				e.Timeout = time.Millisecond
			}, err: "guest code interrupted, execution deadline exceeded",
			cause: engine.CauseDeadline,
		},

		{name: "function", letter: "b", f: answer(accepts)},
		{
			name: "dump outside memory", letter: "v", f: answer(accepts),
			err:   "argument of f: a text at address 4294967295 is outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "argument outside memory", letter: "g",
			err:   "argument of f: a text at address 4294967295 is outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "argument over the limit", letter: "b", f: answer("1"),
			limits: func(e *abi.Environment) {
				e.Limits.HostCallPayloadBytes = 9
			}, err: "limit exceeded: 10 bytes of argument of f, at most 9 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "function that is not declared", letter: "c",
			err:   "the guest calls built-in function -1 without declaring it",
			cause: engine.CauseAbort,
		},
		{
			name: "trap in a callback", letter: "w",
			err:   "call of eval: opa_value_dump: wasm trap: unreachable",
			cause: engine.CauseUnreachable,
		},
		{
			name: "loop in a callback", letter: "j", limits: func(e *abi.Environment) {
				e.Timeout = time.Millisecond
			}, err: "execution deadline exceeded", cause: engine.CauseDeadline,
		},
		{
			name: "callback in a callback", letter: "r",
			err:   "opa_value_dump: the guest called the host during a callback",
			cause: engine.CauseAbort,
		},
		{
			name: "result outside memory", letter: "x", f: answer(accepts),
			err:   "result of f: 42 bytes at address 131070 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "result that is no value", letter: "y", f: answer(accepts),
			err: "the guest cannot parse the result of f", cause: engine.CauseAbort,
		},
		{
			name: "result over the limit", letter: "b", f: answer(strings.Repeat("1", 101)),
			err:   "built-in function f: limit exceeded: 101 bytes of result, at most 100 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "arguments over the limit together", letter: "b", f: answer("1"),
			limits: func(e *abi.Environment) {
				e.Limits.HostCallPayloadBytes = 39
			}, err: "limit exceeded: 10 bytes of argument of f, at most 9 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "function that burns", letter: "b", f: func(c *BuiltinCall) ([]byte, error) {
				return []byte(accepts), c.Burn(1_000_000)
			},
		},
		{
			name: "function that burns more than there is", letter: "b",
			f: func(c *BuiltinCall) ([]byte, error) {
				return []byte("1"), c.Burn(engine.DefaultLimits.Fuel)
			}, err: "built-in function f: limit exceeded: ", cause: engine.CauseFuel,
		},
		{
			name: "failing function", letter: "b", f: func(*BuiltinCall) ([]byte, error) {
				return nil, errors.New("no")
			}, err: "built-in function f: no", cause: engine.CauseAbort,
		},
		{
			name: "panicking function", letter: "b", f: func(*BuiltinCall) ([]byte, error) {
				panic("oh")
			}, err: "built-in function f: panic: oh", cause: engine.CauseAbort,
		},
		{name: "function that waits", letter: "b", limits: func(e *abi.Environment) {
			e.Timeout = time.Millisecond
		}, err: "execution deadline exceeded", cause: engine.CauseDeadline,
			f: func(c *BuiltinCall) ([]byte, error) {
				<-c.Context.Done()
				return []byte("1"), nil
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f = test.f
			var h host
			env := h.environment()
			if test.limits != nil {
				test.limits(env)
			}
			response, usage, err := guest.Validate(t.Context(), env, []byte(`{}`),
				[]byte(`"`+test.letter+`"`))
			require.Equal(t, test.lines, h.lines)
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, &abi.ValidationResponse{Accepted: true}, response)
				require.Positive(t, usage.Fuel)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, "module "+guest.module.Digest())
			require.Equal(t, test.cause, engine.CauseOf(err))
		})
	}
}

func TestFunctionsGetTheirArguments(t *testing.T) {
	var arguments []string
	guest := loadGuest(t, func(c *BuiltinCall) ([]byte, error) {
		n, _ := (*c.Memo).(int)
		*c.Memo = n + 1
		arguments = append(arguments,
			fmt.Sprintf("%d: %s", n, bytes.Join(c.Arguments, []byte(", "))))
		c.Print("line")
		return nil, nil
	})
	var h host
	for range 2 {
		_, _, err := guest.Validate(t.Context(), h.environment(), []byte(`{}`), []byte(`"b"`))
		// In this guest, an undefined value becomes the value at address zero.
		require.ErrorContains(t, err,
			"cannot interpret OPA policy result: unexpected end of JSON input")
	}
	one := []string{`0: `, `1: "argument"`, `2: "argument", "argument"`,
		`3: "argument", "argument", "argument"`,
		`4: "argument", "argument", "argument", "argument"`}
	require.Equal(t, append(one, one...), arguments)
	require.Len(t, h.lines, 10)
}

// edited returns the guest with one text replaced by another of the same length.
func edited(t *testing.T, old, replacement string) []byte {
	t.Helper()
	require.Len(t, replacement, len(old))
	wasm := guestBinary(t)
	require.Equal(t, 1, bytes.Count(wasm, []byte(old)))
	return bytes.Replace(wasm, []byte(old), []byte(replacement), 1)
}

func TestLoadRefuses(t *testing.T) {
	e := newEngine(t)
	all := lender{"f": answer("1"), "": answer("1")}
	for _, test := range []struct {
		name     string
		wasm     []byte
		mode     abi.ExecutionMode
		builtins Builtins
		err      string
	}{
		{"another mode", guestBinary(t), abi.ExecutionModeWASI, all,
			`execution mode "wasi" is not an execution mode of Rego policies`},
		{"no guest", []byte("\x00asm\x01\x00\x00\x00"), abi.ExecutionModeOPA, all,
			"it is not a Rego guest"},
		{"missing functions", guestBinary(t), abi.ExecutionModeOPA, nil,
			`Missing Rego builtins: {"f"}`},
		{"functions missing by name", guestBinary(t), abi.ExecutionModeOPA, lender{},
			`Missing Rego builtins: {"f"}`},
		{"no entrypoint", edited(t, `{"policy/main":0}`, `{"policy/main":1}`), abi.ExecutionModeOPA,
			all, "the policy has no entrypoint 0"},
		{"functions that are none", edited(t, `{"f":1}`, `{"f":x}`), abi.ExecutionModeOPA, all,
			"builtins: invalid character"},
		{"a number that is none", edited(t, `{"f":1}`, `["f",1]`), abi.ExecutionModeOPA, all,
			"builtins: json: cannot unmarshal array"},
		{"another memory", edited(t, "\x06memory", "\x06Memory"), abi.ExecutionModeOPA, all,
			"module imports memory env.Memory, which the host does not provide to Rego guests"},
		{"another function", edited(t, "opa_abort", "opa_Abort"), abi.ExecutionModeOPA, all,
			"opa_Abort"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load(t.Context(), e, test.wasm, test.mode, test.builtins)
			require.ErrorContains(t, err, test.err)
		})
	}
}

func TestEntrypoints(t *testing.T) {
	require.Len(t, loadGuest(t, answer("1")).Entrypoints(), 1)
	guest := &Guest{entrypoints: map[string]int32{"b": 1, "d": 1, "a": 2, "-": -1, "c": 0}}
	require.Equal(t, []string{"-", "c", "b", "d", "a"}, guest.Entrypoints())
}

func TestFindNamesAllThatAreMissing(t *testing.T) {
	_, err := find(map[string]int32{"b": 1, "a": 2, "f": 3}, lender{"f": answer("1")})
	require.EqualError(t, err, `Missing Rego builtins: {"a", "b"}`)
	_, err = find(map[string]int32{"b": 1, "withheld": 2}, lender{})
	require.EqualError(t, err,
		`Missing Rego builtins: {"b", "withheld"}; withheld is not lent: it is a test`)
	_, err = find(map[string]int32{"a": 1, "f": 1}, lender{"a": answer("1"), "f": answer("1")})
	require.EqualError(t, err, `built-in functions "a" and "f" have the same number`)
	many := map[string]int32{}
	for n := range int32(1000) {
		many[strings.Repeat("x", 1000)+fmt.Sprint(n)] = n
	}
	_, err = find(many, nil)
	require.ErrorContains(t, err, "and 900 more")
	require.Less(t, len(err.Error()), 20_000)
}

func TestSettingsAndVersion(t *testing.T) {
	guest := loadGuest(t, answer("1"))
	valid, err := guest.ValidateSettings(t.Context(), nil, []byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, &abi.SettingsValidationResponse{Valid: true}, valid)
	_, err = guest.ProtocolVersion(t.Context(), nil)
	require.EqualError(t, err, "protocol_version is only applicable to a Kubewarden policy")
}

func TestDocuments(t *testing.T) {
	cluster := func(context.Context) ([]byte, error) { return []byte(`{"c":1}`), nil }
	for _, test := range []struct {
		name        string
		mode        abi.ExecutionMode
		settings    string
		inventory   func(context.Context) ([]byte, error)
		input, data string
		limited     int64
	}{
		{"opa", abi.ExecutionModeOPA, `{"a":1,"kubernetes":2}`, nil, `{"request":{"r":1}}`,
			`{"a":1,"kubernetes":2}`, 41},
		{"opa with a cluster", abi.ExecutionModeOPA, `{"a":1,"kubernetes":2}`, cluster,
			`{"request":{"r":1}}`, `{"kubernetes":{"c":1},"a":1}`, 26},
		{"opa without settings", abi.ExecutionModeOPA, `{}`, cluster, `{"request":{"r":1}}`,
			`{"kubernetes":{"c":1}}`, 20},
		{"opa with an escaped key", abi.ExecutionModeOPA, `{"\u006bubernetes":2}`, cluster,
			`{"request":{"r":1}}`, `{"kubernetes":{"c":1}}`, 20},
		{"gatekeeper", abi.ExecutionModeGatekeeper, `{"a":1}`, nil,
			`{"parameters":{"a":1},"review":{"r":1}}`, `{}`, 39},
		{"gatekeeper with a cluster", abi.ExecutionModeGatekeeper, `{"a":1}`, cluster,
			`{"parameters":{"a":1},"review":{"r":1}}`, `{"inventory":{"c":1}}`, 39},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := host{inventory: test.inventory}
			d, err := (&Guest{mode: test.mode}).documents(t.Context(), h.environment(),
				[]byte(`{"r":1}`), []byte(test.settings))
			require.NoError(t, err)
			require.Equal(t, test.input, string(bytes.Join(d.input, nil)))
			require.Equal(t, test.data, string(bytes.Join(d.data, nil)))
			require.Equal(t, test.limited, d.limited)
		})
	}
}

func TestInventoryFails(t *testing.T) {
	guest := loadGuest(t, answer("1"))
	h := host{
		inventory: func(context.Context) ([]byte, error) { return nil, errors.New("not synced") },
	}
	_, _, err := guest.Validate(t.Context(), h.environment(), []byte(`{}`), []byte(`"a"`))
	require.ErrorContains(t, err, "reading the policy's cluster inventory: not synced")

	h.inventory = func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
	env := h.environment()
	env.Timeout = time.Millisecond
	_, _, err = guest.Validate(t.Context(), env, []byte(`{}`), []byte(`"a"`))
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// The evaluation pays for the data that the host copies into the guest.
func TestLongRequestsCostMore(t *testing.T) {
	guest := loadGuest(t, answer(accepts))
	env := (&host{}).environment()
	env.Limits.RequestBytes = 1 << 20
	fuel := func(padding int) int64 {
		_, usage, err := guest.Validate(t.Context(), env,
			[]byte("{"+strings.Repeat(" ", padding)+"}"), []byte(`"a"`))
		require.NoError(t, err)
		return usage.Fuel
	}
	require.GreaterOrEqual(t, fuel(40_000), fuel(0)+40_000)
}
