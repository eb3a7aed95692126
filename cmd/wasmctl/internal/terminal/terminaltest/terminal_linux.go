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

// Package terminaltest has terminals for tests, which see what is shown on them.
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

// Terminal is one that nobody but the test looks at. What is written to the file is shown.
type Terminal struct {
	*os.File

	t       testing.TB
	viewer  *os.File
	mu      sync.Mutex
	changed sync.Cond
	shown   strings.Builder
}

// Open returns a terminal, which the end of the test closes. The test is skipped where
// there are none to be had.
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
		// Whoever reads keys still holds the terminal until there is one.
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

// Press presses keys, which whoever reads from the file gets.
func (t *Terminal) Press(keys string) {
	t.t.Helper()
	_, err := t.viewer.WriteString(keys)
	require.NoError(t.t, err)
}

// Resize changes how many characters there is room for.
func (t *Terminal) Resize(rows, columns uint16) {
	t.t.Helper()
	require.NoError(t.t, unix.IoctlSetWinsize(int(t.viewer.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

// Await waits until a text was shown.
func (t *Terminal) Await(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !strings.Contains(t.shown.String(), text) {
		t.changed.Wait()
	}
}

// Shown returns what was shown since it was last called, with the ends of lines that
// terminals have.
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
