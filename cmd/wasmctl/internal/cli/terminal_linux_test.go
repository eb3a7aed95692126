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

package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal/terminaltest"
)

// Tables have colors on a terminal, but not in output for programs.
func TestColors(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	const (
		request = policies + "no-latest-tag/testdata/pod-create-latest.json"
		policy  = policies + "no-latest-tag/policy.wasm"
	)
	terminalOut := terminaltest.Open(t)
	shown := func(arguments ...string) string {
		cli.Main(t.Context(), "wasmctl", arguments, &terminal.Streams{
			In:  strings.NewReader(""),
			Out: terminalOut.File,
			Err: &bytes.Buffer{},
		})
		return terminalOut.Shown()
	}
	require.Contains(t, shown("run", "-r", request, "-o", "table", policy),
		"VERDICT  \x1b[31mrejected\x1b[0m\r\n")
	require.Contains(t, shown("inspect", policy), "\x1b[32mcan be used again\x1b[0m\r\n")
	require.Contains(t, shown("test", policies+"no-latest-tag"), "\x1b[32mpassed\x1b[0m\r\n")
	require.Contains(t, shown("run", "-r", request, "-o", "table", "--no-color", policy),
		"VERDICT  rejected\r\n")
	for _, arguments := range [][]string{
		{"run", "-r", request, policy}, {"run", "-r", request, "-o", "yaml", policy},
		{"inspect", "-o", "json", policy}, {"inspect", "-o", "yaml", policy},
		{"test", "-o", "json", policies + "no-latest-tag"},
		{"test", "-o", "junit", policies + "no-latest-tag"},
	} {
		text := shown(arguments...)
		require.NotEmpty(t, text)
		require.NotContains(t, text, "\x1b", arguments)
	}
}

// Long operations report their progress.
func TestProgress(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", cache)
	terminalErr := terminaltest.Open(t)
	var out bytes.Buffer
	code := cli.Main(t.Context(), "wasmctl", []string{
		"run", "--timeout", "1200ms", "-r", policies + "pod-privileged/testdata/pod-delete.json",
		guests + "spin.wasm",
	},
		&terminal.Streams{In: strings.NewReader(""), Out: &out, Err: terminalErr.File})
	require.Equal(t, cli.ExitOK, code)
	require.Regexp(t, "\rEvaluating file:///.*/spin.wasm … 1s\r\x1b\\[K", terminalErr.Shown())
	require.Contains(t, out.String(), "exceeded the allowed execution time")
	require.NotContains(t, out.String(), "\x1b")
}

// Long transfers are reported, without possible secrets in their URI.
func TestTransferProgress(t *testing.T) {
	u := newUser(t)
	shown := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-shown
		w.Header().Set("Content-Length", strconv.Itoa(len(u.policy)))
		_, _ = w.Write(u.policy)
	}))
	t.Cleanup(server.Close)
	u.configure("sources.yaml", "insecure_sources: ['"+strings.TrimPrefix(server.URL, "http://")+
		"']")
	t.Setenv("XDG_CONFIG_HOME", u.config)
	terminalErr := terminaltest.Open(t)
	code := make(chan int)
	go func() {
		code <- cli.Main(t.Context(), "wasmctl", []string{
			"pull",
			"-o",
			filepath.Join(u.cache, "policy.wasm"),
			server.URL + "/policy.wasm?token=secret",
		},
			&terminal.Streams{
				In:  strings.NewReader(""),
				Out: &bytes.Buffer{},
				Err: terminalErr.File,
			})
	}()
	terminalErr.Await("Pulling " + server.URL + "/policy.wasm")
	close(shown)
	require.Equal(t, cli.ExitOK, <-code)
	text := terminalErr.Shown()
	require.NotContains(t, text, "secret")
	require.Contains(t, text, "/policy.wasm?… 100%")
	require.True(t, strings.HasSuffix(text, "\r\x1b[K"), text)
}
