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
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// Output that is not a terminal has no colors and no progress.
func TestNoTerminal(t *testing.T) {
	var out, err bytes.Buffer
	s := &Streams{Out: &out, Err: &err}
	require.Equal(t, "text", s.Paint(Red, "text"))
	done := s.Progress("loading")
	s.Transferred(1, 2)
	done()
	require.Empty(t, err.String())
	require.Equal(t, "\x1b[31mtext\x1b[0m", paint(Red, "text"))
}

func TestProgress(t *testing.T) {
	reader, writer := io.Pipe()
	clock := clocktesting.NewFakeClock(time.Now())
	done := (&shown{w: writer, what: "Loading"}).begin(clock)
	read := func() string {
		buffer := make([]byte, 100)
		n, err := reader.Read(buffer)
		require.NoError(t, err)
		return string(buffer[:n])
	}
	clock.Step(time.Second)
	require.Equal(t, "\rLoading … 1s", read())
	clock.Step(time.Second)
	require.Equal(t, "\rLoading … 2s", read())
	ended := make(chan struct{})
	go func() { done(); close(ended) }()
	require.Equal(t, "\r\x1b[K", read())
	<-ended

	// A fast operation shows nothing, so nobody reads from the pipe here.
	(&shown{w: writer, what: "Loading"}).begin(clock)()
}

func TestPlain(t *testing.T) {
	require.Equal(t, "a\n\tb", Plain("a\n\tb"))
	require.Equal(t, "\uFFFD[31mred\uFFFD\uFFFD\uFFFD2J", Plain("\x1b[31mred\r\x7f\u009b2J"))
	require.Equal(t, "\uFFFDdewolla\uFFFD\uFFFD\uFFFD", Plain("\u202edewolla\u202c\u2066\u2069"))
	require.Equal(t, "\u05d0\u200f\u200d", Plain("\u05d0\u200f\u200d"))
}
