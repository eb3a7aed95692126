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

package wasi

import (
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

// host answers host calls and keeps what the guest logged.
type host struct {
	answer []byte
	err    error
	calls  []abi.HostCall

	mu    sync.Mutex
	lines []string
}

func (h *host) Call(_ context.Context, call abi.HostCall) ([]byte, error) {
	h.calls = append(h.calls, call)
	return h.answer, h.err
}

func (h *host) Line(_ context.Context, source, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, source+": "+text)
}

func (h *host) environment() *abi.Environment {
	return &abi.Environment{
		Capabilities: h,
		Log:          h,
		Timeout:      time.Minute,
		Limits: abi.Limits{
			RequestBytes:         100,
			ResponseBytes:        100,
			HostCallPayloadBytes: 100,
			HostCalls:            10,
			LogLineBytes:         100,
		},
	}
}

// kinds runs a test with each way to run a guest: parked at its first read, from its start, and
// interpreted.
func kinds(t *testing.T, test func(t *testing.T, guest *Guest, operation string)) {
	wasm, err := os.ReadFile("testdata/guest.wasm")
	require.NoError(t, err)
	for _, interpreter := range []bool{false, true} {
		guest := load(t,
			engine.Options{Interpreter: interpreter, Limits: engine.Limits{Instances: 1}}, wasm)
		for _, operation := range []string{operationValidate, operationValidateSettings} {
			t.Run(fmt.Sprintf("%s/interpreter=%v", operation, interpreter), func(t *testing.T) {
				test(t, guest, operation)
			})
		}
	}
}

func load(t testing.TB, o engine.Options, wasm []byte) *Guest {
	t.Helper()
	o.Compilation = engine.InProcess
	e, err := engine.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	guest, err := Load(t.Context(), e, wasm)
	require.NoError(t, err)
	t.Cleanup(guest.Close)
	return guest
}

func TestOutcomes(t *testing.T) {
	answering := func(answer string) *host { return &host{answer: []byte(answer)} }
	limit := func(change func(*abi.Limits)) func(*abi.Environment) {
		return func(env *abi.Environment) { change(&env.Limits) }
	}
	tests := []struct {
		name, input string
		host        *host
		env         func(*abi.Environment)
		want        string
		err         string
		cause       engine.Cause
		// reported says that the guest ended itself.
		reported bool
	}{
		{name: "success", input: "apayload", want: "payload"},
		{name: "success without an answer", input: "a", want: ""},
		{name: "success by exit", input: "d", want: "hello"},
		{name: "guest error", input: "b", err: "the text", reported: true, cause: engine.CauseExit},
		{
			name: "failure without an error", input: "c",
			err: "call of _start: guest exited with status 3", reported: true,
			cause: engine.CauseExit,
		},
		{
			name: "trap", input: "n", err: "call of _start: wasm trap: unreachable", reported: true,
			cause: engine.CauseUnreachable,
		},
		{
			name: "trap after a word", input: "t", err: "the text", reported: true,
			cause: engine.CauseArithmetic,
		},
		{
			name: "long error", input: "l", err: strings.Repeat("\x00", 100), reported: true,
			cause: engine.CauseExit,
		},
		{
			name: "spin", input: "o", env: func(env *abi.Environment) {
				env.Timeout = 30 * time.Millisecond
			}, err: "execution deadline exceeded", cause: engine.CauseDeadline,
		},
		{
			name: "output flood", input: "k",
			err:   "limit exceeded: 1024 bytes of response, at most 100 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "response over the limit", input: "apayload",
			env:   limit(func(l *abi.Limits) { l.ResponseBytes = 6 }),
			err:   "limit exceeded: 7 bytes of response, at most 6 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "response at the limit", input: "apayload",
			env: limit(func(l *abi.Limits) { l.ResponseBytes = 7 }), want: "payload",
		},
		{
			name: "request over the limit", input: "apayload",
			env:   limit(func(l *abi.Limits) { l.RequestBytes = 7 }),
			err:   "limit exceeded: 8 bytes of request, at most 7 are allowed",
			cause: engine.CauseLimit,
		},
		{name: "host answers", input: "erest", host: answering("yes"), want: "rest00yes00yes"},
		{name: "host answers nothing", input: "erest", want: "rest0000"},
		{
			name: "host refuses", input: "erest", host: &host{err: errors.New("no")},
			want: "rest01no01no",
		},
		{name: "host is called by Javy", input: "f", host: answering("yes"), want: "00yes"},
		{
			name: "answer behind what was not read", input: "frest", host: answering("yes"),
			want: "00restyes",
		},
		{
			name: "no host", input: "f", env: func(env *abi.Environment) { env.Capabilities = nil },
			want: "01Missing host callback function!",
		},
		{
			name: "host call payload over the limit", input: "f",
			env:   limit(func(l *abi.Limits) { l.HostCallPayloadBytes = 4 }),
			err:   "limit exceeded: 5 bytes of host call payload, at most 4 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "host answer over the limit", input: "f", host: &host{answer: make([]byte, 101)},
			want: "01limit exceeded: 101 bytes of host call response, at most 100 are allowed",
		},
		{
			name: "host call payload outside memory", input: "g",
			err:   "host call payload: 5 bytes at address 262140 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "host call that is not UTF-8", input: "h", err: "host call binding is not UTF-8",
			cause: engine.CauseAbort,
		},
		{
			name: "host call with a long name", input: "s",
			err:   "limit exceeded: 2048 bytes of host call binding, at most 1024 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "host call storm", input: "i",
			err: "limit exceeded: 11 host calls, at most 10 are allowed", cause: engine.CauseLimit,
		},
		{
			name: "answers are not read", input: "j", host: answering(strings.Repeat("x", 90)),
			err:   "limit exceeded: 270 bytes of standard input that the guest does not read, at most 200 are allowed",
			cause: engine.CauseLimit,
		},
		{name: "read to outside memory", input: "m", want: "21"},
		{name: "hostile lists of buffers", input: "p", want: "21212121212108"},
	}
	kinds(t, func(t *testing.T, guest *Guest, operation string) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				if test.host == nil {
					test.host = &host{}
				}
				env := test.host.environment()
				if test.env != nil {
					test.env(env)
				}
				got, usage, err := guest.run(t.Context(), env, operation, []byte(test.input[:1]),
					nil, []byte(test.input[1:]))
				if test.err == "" {
					require.NoError(t, err)
					require.Equal(t, test.want, string(got))
					require.Positive(t, usage.Fuel)
					require.Positive(t, usage.MemoryBytes)
					return
				}
				require.ErrorContains(t, err, test.err)
				require.Equal(t, test.cause, engine.CauseOf(err))
				require.Equal(t, test.reported, errors.As(err, new(*abi.GuestError)))
			})
		}
	})
}

// The error text is exactly what the guest printed.
func TestGuestErrorsAreVerbatim(t *testing.T) {
	kinds(t, func(t *testing.T, guest *Guest, operation string) {
		var h host
		_, _, err := guest.run(t.Context(), h.environment(), operation, []byte("b"))
		require.EqualError(t, err, "the text")
		require.Empty(t, h.lines)
		_, _, err = guest.run(t.Context(), h.environment(), operation, []byte("l"))
		// Each invalid UTF-8 sequence becomes a character of three bytes.
		require.Less(t, len(err.Error()), maxErrorBytes+16)
	})
}

func TestStandardErrorIsLoggedAfterSuccess(t *testing.T) {
	kinds(t, func(t *testing.T, guest *Guest, operation string) {
		var h host
		_, _, err := guest.run(t.Context(), h.environment(), operation, []byte("d"))
		require.NoError(t, err)
		require.Equal(t, []string{"stderr: the text", "stderr: hello"}, h.lines)
	})
}

func TestHostCallsArriveWhole(t *testing.T) {
	kinds(t, func(t *testing.T, guest *Guest, operation string) {
		h := host{answer: []byte("yes")}
		_, _, err := guest.run(t.Context(), h.environment(), operation, []byte("f"))
		require.NoError(t, err)
		require.Equal(t,
			[]abi.HostCall{{
				Binding: "kubewarden", Namespace: "tracing", Operation: "log",
				Payload: []byte("hello"),
			}}, h.calls)
	})
}

func TestArguments(t *testing.T) {
	kinds(t, func(t *testing.T, guest *Guest, operation string) {
		var h host
		got, _, err := guest.run(t.Context(), h.environment(), operation, []byte("r"))
		require.NoError(t, err)
		require.Equal(t, "02policy.wasm\x00"+operation+"\x00", string(got))
	})
}

// Each run finds the guest in the same state, however the previous run ended.
func TestNothingOfARunReachesTheNext(t *testing.T) {
	kinds(t, func(t *testing.T, guest *Guest, operation string) {
		var fuel int64
		for _, ending := range []struct {
			letter string
			cause  engine.Cause
		}{{"", ""}, {"z", ""}, {"x", engine.CauseExit}, {"t", engine.CauseUnreachable},
			{"s", engine.CauseDeadline}, {"", ""}} {
			for range 3 {
				var h host
				env := h.environment()
				if ending.cause == engine.CauseDeadline {
					env.Timeout = 20 * time.Millisecond
				}
				got, usage, err := guest.run(t.Context(), env, operation, []byte("q"+ending.letter))
				if ending.cause == "" {
					require.NoError(t, err)
					require.Equal(t, "000000", string(got))
				} else {
					require.Equal(t, ending.cause, engine.CauseOf(err))
				}
				if ending.letter == "" {
					if fuel == 0 {
						fuel = usage.Fuel
					}
					require.Equal(t, fuel, usage.Fuel)
				}
			}
		}
	})
}

func TestResponses(t *testing.T) {
	kinds(t, func(t *testing.T, guest *Guest, _ string) {
		var h host
		// The first letter of the settings tells the guest what to do.
		response, err := guest.ValidateSettings(t.Context(), h.environment(),
			[]byte(`a{"valid":false,"message":"no"}`))
		require.NoError(t, err)
		require.Equal(t, &abi.SettingsValidationResponse{Message: "no"}, response)
		_, err = guest.ValidateSettings(t.Context(), h.environment(), []byte(`a{"valid":1}`))
		require.ErrorContains(t, err, "Cannot deserialize settings validation response: ")
		require.ErrorAs(t, err, new(*abi.ResponseError))
		_, err = guest.ValidateSettings(t.Context(), h.environment(), []byte(`a{"valid":true}{}`))
		require.ErrorContains(t, err, "Cannot deserialize settings validation response: ")
		_, err = guest.ValidateSettings(t.Context(), h.environment(), []byte(`a`))
		require.ErrorContains(t, err, "Cannot deserialize settings validation response: ")
	})
}

func TestProgramsHaveNoProtocolVersion(t *testing.T) {
	var h host
	_, err := (&Guest{}).ProtocolVersion(t.Context(), h.environment())
	require.EqualError(t, err, "protocol_version is only applicable to a Kubewarden policy")
}

func TestLoadRefusesWhatIsNoProgram(t *testing.T) {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	_, err = Load(t.Context(), e, []byte("\x00asm\x01\x00\x00\x00"))
	require.ErrorContains(t, err,
		`module does not export function "_start": it is not a WASI guest`)
}
