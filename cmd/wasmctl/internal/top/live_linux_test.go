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

package top_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal/terminaltest"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/top"
)

// TestLive takes three readings, of which the last fails, and presses keys.
func TestLive(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	var looks atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n := int(looks.Add(1)); n {
		case 1, 2:
			_, _ = w.Write([]byte(metrics(1, 10*n)))
		case 3:
			w.WriteHeader(http.StatusInternalServerError)
		default:
			_, _ = w.Write([]byte(metrics(2, 10*n)))
		}
	}))
	t.Cleanup(server.Close)
	source, err := top.NewSource(server.URL, "")
	require.NoError(t, err)
	shown := terminaltest.Open(t)
	shown.Resize(24, 150)
	screen, err := (&terminal.Streams{
		In:  shown.File,
		Out: shown.File,
		Err: &bytes.Buffer{},
	}).OpenScreen()
	require.NoError(t, err)
	clock := testingclock.NewFakeClock(time.Unix(1_700_000_000, 0))
	live := &top.Live{Source: source, Interval: 2 * time.Second, Order: top.ByTime, Clock: clock}
	done := make(chan error)
	go func() { done <- live.Run(t.Context(), screen) }()

	shown.Await("by time, every 2s  2 policies and groups at " + server.URL)
	shown.Await("since the server started")
	shown.Await("\x1b[1mPOLICY  EVALS  ")
	clock.Step(2 * time.Second)
	shown.Await("since the last look")
	shown.Await("EVALS/S")
	shown.Await("\na       10       5         0         0          9.77ms  5000")
	shown.Press("d")
	shown.Await("by denials")
	clock.Step(2 * time.Second)
	shown.Await("no newer look: asking " + server.URL + ": it answered 500")
	clock.Step(2 * time.Second)
	shown.Await("the server was started anew, or another one answers")
	shown.Press("q")
	require.NoError(t, <-done)
	require.NoError(t, screen.Close())
	require.True(t, strings.HasSuffix(shown.Shown(), "\x1b[?25h\x1b[?1049l"))
}

// TestScreenEndsWithCtrlC checks that Ctrl-C ends the program, and that lines are cut to the
// terminal's size.
func TestScreenEndsWithCtrlC(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := metrics(1, 1)
		for n := range 200 {
			text +=
				fmt.Sprintf(
					"apiserver_wasm_admission_mutations_total{policy=\"p%d-%s\",operation=\"CREATE\"} 1\n",
					n, strings.Repeat("x", 200))
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	source, err := top.NewSource(server.URL, "")
	require.NoError(t, err)
	shown := terminaltest.Open(t)
	shown.Resize(10, 60)
	screen, err := (&terminal.Streams{
		In:      shown.File,
		Out:     shown.File,
		Err:     &bytes.Buffer{},
		NoColor: true,
	}).OpenScreen()
	require.NoError(t, err)
	live := &top.Live{
		Source:   source,
		Interval: time.Hour,
		Order:    top.ByName,
		Clock:    testingclock.NewFakeClock(time.Unix(1_700_000_000, 0)),
	}
	done := make(chan error)
	go func() { done <- live.Run(t.Context(), screen) }()
	shown.Await("\x1b[J")
	shown.Press("\x03")
	require.NoError(t, <-done)
	text := shown.Shown()
	require.NotContains(t, text, "\x1b[1m")
	_, text, _ = strings.Cut(text, "\x1b[H")
	text, _, _ = strings.Cut(text, "\x1b[J")
	lines := strings.Split(text, "\r\n")
	require.Len(t, lines, 10)
	for _, line := range lines {
		require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\x1b[K"))), 60)
	}
	require.NoError(t, screen.Close())
}
