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

// Package terminaltest provides pseudo-terminals for tests, which can read what is shown on them.
package terminaltest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Terminal is a pseudo-terminal. It shows what is written to the file.
type Terminal struct {
	*os.File

	t       testing.TB
	viewer  *os.File
	mu      sync.Mutex
	changed sync.Cond
	shown   strings.Builder
}

// Open returns a terminal, which is closed at the end of the test. It skips the test if there are
// no pseudo-terminals.
func Open(t testing.TB) *Terminal {
	t.Helper()
	viewer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminals here: %v", err)
	}
	require.NoError(t, unix.IoctlSetPointerInt(int(viewer.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(viewer.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal := &Terminal{t: t, viewer: viewer}
	terminal.changed.L = &terminal.mu
	terminal.File, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	var looking sync.WaitGroup
	looking.Go(func() { terminal.look(viewer) })
	t.Cleanup(func() {
		require.NoError(t, terminal.Close())
		// The reader of keys holds the terminal until it receives one.
		_, _ = viewer.WriteString("\n")
		looking.Wait() // until the terminal hangs up
		require.NoError(t, viewer.Close())
	})
	return terminal
}

func (t *Terminal) look(viewer *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := viewer.Read(buffer)
		if err != nil {
			return
		}
		t.mu.Lock()
		t.shown.Write(buffer[:n])
		t.mu.Unlock()
		t.changed.Broadcast()
	}
}

// Press sends keys to the reader of the file.
func (t *Terminal) Press(keys string) {
	t.t.Helper()
	_, err := t.viewer.WriteString(keys)
	require.NoError(t.t, err)
}

// Resize changes the size of the terminal in characters.
func (t *Terminal) Resize(rows, columns uint16) {
	t.t.Helper()
	require.NoError(t.t,
		unix.IoctlSetWinsize(int(t.viewer.Fd()), unix.TIOCSWINSZ,
			&unix.Winsize{Row: rows, Col: columns}))
}

// Await waits until a text was shown.
func (t *Terminal) Await(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !strings.Contains(t.shown.String(), text) {
		t.changed.Wait()
	}
}

// Shown returns the text shown since the last call, with the line ends of terminals.
func (t *Terminal) Shown() string {
	t.t.Helper()
	const mark = "\a\aend\a\a"
	_, err := t.WriteString(mark)
	require.NoError(t.t, err)
	t.Await(mark)
	t.mu.Lock()
	defer t.mu.Unlock()
	shown, _, _ := strings.Cut(t.shown.String(), mark)
	t.shown.Reset()
	return shown
}
