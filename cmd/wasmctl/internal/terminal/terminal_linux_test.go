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

package terminal

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/terminal/terminaltest"
)

// A terminal gets colors, unless they are disabled.
func TestPaint(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	out := terminaltest.Open(t).File
	require.Equal(t, "\x1b[31mtext\x1b[0m", (&Streams{Out: out}).Paint(Red, "text"))
	require.Equal(t, "text", (&Streams{Out: out, NoColor: true}).Paint(Red, "text"))
	require.Equal(t, "text", (&Streams{Out: &bytes.Buffer{}, Err: out}).Paint(Red, "text"),
		"the output is none")
	t.Setenv("TERM", "dumb")
	require.Equal(t, "text", (&Streams{Out: out}).Paint(Red, "text"))
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	require.Equal(t, "text", (&Streams{Out: out}).Paint(Red, "text"))
}

// An operation of over a second is shown on a terminal, and removed at the end.
func TestProgressAtATerminal(t *testing.T) {
	terminal := terminaltest.Open(t)
	s := &Streams{Out: &bytes.Buffer{}, Err: terminal.File}
	s.Progress("what is quick")()
	done := s.Progress("Loading")
	terminal.Await("Loading … 1s")
	done()
	require.Regexp(t, "^\rLoading … 1s.*\r\x1b\\[K$", terminal.Shown())
}

// A transfer shows a bar while it runs. Transfers in the background show none.
func TestTransferAtATerminal(t *testing.T) {
	terminal := terminaltest.Open(t)
	s := &Streams{Out: &bytes.Buffer{}, Err: terminal.File}
	s.Transferred(1, 1000)
	done := s.Progress("Pulling")
	s.Transferred(0, 1000)
	terminal.Await("Pulling   0%")
	s.Transferred(1000, 1000)
	terminal.Await("Pulling 100%")
	s.Transferred(0, 0)
	s.Transferred(10, 0)
	done()
	s.Transferred(1, 1000)
	require.Regexp(t, "\\r\x1b\\[K$", terminal.Shown())
}
