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
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMemoryIsLimited(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector's own memory is not bounded")
	}
	p, _ := newPool(t, Options{})
	err := p.run(t.Context(), t.TempDir(), "allocate")
	require.Error(t, err)
	require.Regexp(t,
		`exit status 2: fatal error: (runtime: )?(out of memory|cannot allocate memory)`,
		err.Error())
}

func TestFilesAreLimited(t *testing.T) {
	p, _ := newPool(t, Options{})
	require.ErrorContains(t, p.run(t.Context(), t.TempDir(), "large-file"), "file too large")
}

// TestWhatAChildHas inspects a child from outside.
func TestWhatAChildHas(t *testing.T) {
	inherited, err := unix.Open(os.DevNull, unix.O_RDONLY, 0) // without close-on-exec
	require.NoError(t, err)
	defer func() { require.NoError(t, unix.Close(inherited)) }()

	p, _ := newPool(t, Options{})
	require.NoError(t, p.run(t.Context(), t.TempDir(), "write"))
	proc := fmt.Sprintf("/proc/%d/", p.idle[0].command.Process.Pid)

	descriptors, err := os.ReadDir(proc + "fd")
	require.NoError(t, err)
	for _, fd := range descriptors {
		target, err := os.Readlink(proc + "fd/" + fd.Name())
		require.NoError(t, err)
		require.Regexp(t, `^(pipe:|anon_inode:\[(eventpoll|eventfd)\]|/sys/fs/cgroup/)`, target,
			"the streams and the files that Go's runtime opens")
	}
	directory, err := os.Readlink(proc + "cwd")
	require.NoError(t, err)
	require.Equal(t, "/", directory)
	score, err := os.ReadFile(proc + "oom_score_adj")
	require.NoError(t, err)
	require.Equal(t, "1000\n", string(score))

	limits, err := os.ReadFile(proc + "limits")
	require.NoError(t, err)
	for name, value := range map[string]int{
		"Max core file size": 0, "Max open files": maxOpenFiles, "Max file size": MinMemoryBytes,
		"Max data size": MinMemoryBytes, "Max cpu time": 7201,
	} {
		if name == "Max data size" && raceDetector {
			continue
		}
		require.Regexp(t, fmt.Sprintf(`%s +%d +%d `, name, value, value), string(limits))
	}
}

const orphanVariable = "WORKER_TEST_PARENT"

// TestNoChildOutlivesItsParent kills a process with an idle child and a working one.
func TestNoChildOutlivesItsParent(t *testing.T) {
	if directory := os.Getenv(orphanVariable); directory != "" {
		p, _ := newPool(t, Options{Workers: 2, MemoryBytes: 2 * sharedBytes})
		require.NoError(t, p.run(t.Context(), directory, "write"))
		idle := p.idle[0]
		p.idle = nil
		working, err := start(limits{DataBytes: sharedBytes, CPUSeconds: 10})
		require.NoError(t, err)
		require.NoError(t, writeTask(working.tasks, &Task{Module: []byte("hang")}))
		fmt.Printf("children %d %d\n", idle.command.Process.Pid, working.command.Process.Pid)
		select {}
	}
	skipWithoutPrograms(t)
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	// A killed process removes no directories, so give it one.
	parent.Env = append(os.Environ(), orphanVariable+"="+t.TempDir())
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var pids [2]int
	lines := bufio.NewScanner(output)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "children") {
	}
	_, err = fmt.Sscanf(lines.Text(), "children %d %d", &pids[0], &pids[1])
	require.NoError(t, err)
	var children []unix.PollFd
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		defer func() { _ = unix.Close(fd) }()
		children = append(children, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait() // it was killed
	for n := range children {
		ready, err := unix.Poll(children[n:n+1], 60_000)
		require.NoError(t, err)
		require.Equal(t, 1, ready, "child %d is still alive", pids[n])
	}
}
