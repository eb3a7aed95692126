//go:build linux

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

package worker

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxOpenFiles is enough for the compiler's cache and the runtime's open files.
const maxOpenFiles = 64

// impose limits this process, a child, for the rest of its life.
func (l limits) impose() error {
	closeInherited()
	// If memory is short, the kernel should kill this process and not its parent. A process that is
	// not dumpable cannot set this.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	bounds := []struct {
		name     string
		resource int
		value    uint64
	}{
		{"core files", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, maxOpenFiles},
		{"size of files", unix.RLIMIT_FSIZE, uint64(l.DataBytes)}, // the code was in memory before
		{"processor time", unix.RLIMIT_CPU, l.CPUSeconds},
		// Do not limit the address space: a Go program reserves much more of it than it uses.
		{"data", unix.RLIMIT_DATA, uint64(l.DataBytes)},
	}
	for _, b := range bounds {
		if b.resource == unix.RLIMIT_DATA && raceDetector {
			continue // its shadow memory is data
		}
		if err := lower(b.resource, b.value); err != nil {
			return fmt.Errorf("limiting %s to %d: %w", b.name, b.value, err)
		}
	}
	return nil
}

// lower lowers a limit, including the hard limit: Go ignores the soft limit on processor time.
func lower(resource int, value uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(resource, &now); err != nil {
		return err
	}
	value = min(value, now.Max)
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: value, Max: value})
}

// closeInherited closes descriptors that the parent did not mean to pass on. Descriptors that were
// open when this program started lack close-on-exec, which Go sets on everything that it opens
// itself.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc there is no child, see [executable]
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd < standardStreams {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil &&
			flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// executable returns the binary that this process runs, even if the file was replaced.
func executable() (string, error) { return "/proc/self/exe", nil }

// endsWithParent makes the kernel kill a child when the thread that started it ends.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
