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

package wapc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/internal/guestio"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// host answers host calls and keeps what the guest printed.
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

func loadGuest(t testing.TB) *Guest {
	t.Helper()
	wasm, err := os.ReadFile("testdata/guest.wasm")
	require.NoError(t, err)
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	guest, err := Load(t.Context(), e, wasm)
	require.NoError(t, err)
	t.Cleanup(guest.Close)
	return guest
}

func TestOutcomes(t *testing.T) {
	guest := loadGuest(t)
	for _, test := range []struct {
		name, operation string
		host            *host
		limits          func(*abi.Limits)
		want            string
		err             string
		cause           engine.Cause
	}{
		{name: "success", operation: "a", want: "payload"},
		{name: "guest error", operation: "b", err: "Guest call failure: the text"},
		{name: "success beside an error", operation: "c", want: "payload"},
		{
			name: "success without a response", operation: "d",
			err: "Guest call failure: No error message OR response set for call success",
		},
		{
			name: "failure without an error", operation: "e",
			err: "Guest call failure: No error message set for call failure",
		},
		{
			name: "failure beside a response", operation: "f",
			err: "Guest call failure: No error message set for call failure",
		},
		{
			name: "response outside memory", operation: "g",
			err:   "response: 5 bytes at address 262140 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "response of 4 GiB", operation: "h",
			err:   "limit exceeded: 4294967295 bytes of response, at most 100 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "response over the limit", operation: "a", limits: func(l *abi.Limits) {
				l.ResponseBytes = 6
			}, err: "limit exceeded: 7 bytes of response, at most 6 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "request over the limit", operation: "a", limits: func(l *abi.Limits) {
				l.RequestBytes = 6
			}, err: "limit exceeded: 7 bytes of request, at most 6 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "request outside memory", operation: "i",
			err:   "request: 7 bytes at address 4294967295 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{name: "host answers", operation: "j", host: &host{answer: []byte("yes")}, want: "yes"},
		{name: "host answers nothing", operation: "j", want: ""},
		{
			name: "host refuses", operation: "j", host: &host{err: errors.New("no")},
			err: "Guest call failure: no",
		},
		{
			name: "host call payload over the limit", operation: "j", limits: func(l *abi.Limits) {
				l.HostCallPayloadBytes = 4
			}, err: "limit exceeded: 5 bytes of host call payload, at most 4 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "host answer over the limit", operation: "j", host: &host{
				answer: make([]byte, 101),
			},
			err: "Guest call failure: limit exceeded: 101 bytes of host call response, at most 100 are allowed",
		},
		{
			name: "host call that is not UTF-8", operation: "k",
			err: "host call binding is not UTF-8", cause: engine.CauseAbort,
		},
		{
			name: "host call storm", operation: "l",
			err: "limit exceeded: 11 host calls, at most 10 are allowed", cause: engine.CauseLimit,
		},
		{
			name: "log outside memory", operation: "n",
			err:   "console log: 8 bytes at address 4294967295 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{name: "answers that were not given", operation: "o", want: ""},
		{name: "long error", operation: "p", err: "Guest call failure: p"},
		{
			name: "host call payload outside memory", operation: "q",
			err:   "host call payload: 5 bytes at address 262140 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "host call with a long name", operation: "r",
			err:   "limit exceeded: 2048 bytes of host call binding, at most 1024 are allowed",
			cause: engine.CauseLimit,
		},
		{
			name: "host answer outside memory", operation: "s", host: &host{answer: []byte("yes")},
			err:   "host response: 3 bytes at address 4294967295 are outside the guest's memory",
			cause: engine.CauseAbort,
		},
		{
			name: "trap", operation: "t", err: "call of __guest_call: wasm trap: unreachable",
			cause: engine.CauseUnreachable,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.host == nil {
				test.host = &host{}
			}
			env := test.host.environment()
			if test.limits != nil {
				test.limits(&env.Limits)
			}
			got, _, err := guest.invoke(t.Context(), env, test.operation, []byte("pay"), nil,
				[]byte("load"))
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, test.want, string(got))
				return
			}
			require.ErrorContains(t, err, test.err)
			if test.cause != "" {
				require.Equal(t, test.cause, engine.CauseOf(err))
				require.ErrorContains(t, err, "module "+guest.module.Digest())
			} else {
				require.ErrorAs(t, err, new(*abi.GuestError))
			}
		})
	}
}

func TestGuestErrorIsBounded(t *testing.T) {
	var h host
	_, _, err := loadGuest(t).invoke(t.Context(), h.environment(), "p")
	var guestError *abi.GuestError
	require.ErrorAs(t, err, &guestError)
	// Each invalid UTF-8 sequence becomes a character of three bytes.
	require.Less(t, len(guestError.Text), maxErrorBytes+16)
}

func TestHostCallsArriveWhole(t *testing.T) {
	h := host{answer: []byte("yes")}
	_, _, err := loadGuest(t).invoke(t.Context(), h.environment(), "j", []byte("hello"))
	require.NoError(t, err)
	require.Equal(t,
		[]abi.HostCall{{
			Binding: "kubewarden", Namespace: "tracing", Operation: "log", Payload: []byte("hello"),
		}}, h.calls)
}

func TestHostCallsWithoutCapabilities(t *testing.T) {
	var h host
	env := h.environment()
	env.Capabilities = nil
	_, _, err := loadGuest(t).invoke(t.Context(), env, "j")
	require.EqualError(t, err, "Guest call failure: Missing host callback function!")
}

func TestOutputIsCutIntoLines(t *testing.T) {
	guest := loadGuest(t)
	var h host
	_, _, err := guest.invoke(t.Context(), h.environment(), "m")
	require.NoError(t, err)
	require.Equal(t, []string{"console: the text", "stdout: printed", "stderr: printedprinted"},
		h.lines)

	var short host
	env := short.environment()
	env.Limits.LogLineBytes = 4
	_, _, err = guest.invoke(t.Context(), env, "m")
	require.NoError(t, err)
	require.Equal(t, []string{"console: the ", "stdout: prin", "stderr: prin"}, short.lines)
}

func TestLoadRefusesWhatIsNoGuest(t *testing.T) {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	_, err = Load(t.Context(), e, []byte("\x00asm\x01\x00\x00\x00"))
	require.ErrorContains(t, err,
		`module does not export function "__guest_call": it is not a waPC guest`)
}

// A guest receives a complete answer of any size, although the host writes it in portions.
func TestLargeAnswer(t *testing.T) {
	wasm, err := os.ReadFile(filepath.Join("..", "..", "..", "test", "policies",
		"label-from-namespace-rust", "policy.wasm"))
	require.NoError(t, err)
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	guest, err := Load(t.Context(), e, wasm)
	require.NoError(t, err)
	t.Cleanup(guest.Close)
	var numbers strings.Builder
	for n := range 150_000 {
		fmt.Fprintf(&numbers, "%d,", n)
	}
	h := &host{
		answer: []byte(
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"owner":"` +
				numbers.String() + `"}}}`),
	}
	env := h.environment()
	env.Limits = abi.Limits{
		RequestBytes:         4 << 20,
		ResponseBytes:        4 << 20,
		HostCallPayloadBytes: 4 << 20,
		HostCalls:            10,
		LogLineBytes:         1 << 10,
	}
	request := strings.Replace(guestio.WarmUpRequests[1], `"image":"`,
		`"command":["`+numbers.String()+`"],"image":"`, 1)
	response, _, err := guest.Validate(t.Context(), env, []byte(request),
		[]byte(`{"label":"owner"}`))
	require.NoError(t, err)
	require.True(t, response.Accepted, response.Message)
	require.Contains(t, string(response.MutatedObject), `"owner":"`+numbers.String()+`"`)
	require.Contains(t, string(response.MutatedObject), `"command":["`+numbers.String()+`"]`)
}
