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

package ha

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// isolated is the environment variable that is set in the process in the new namespaces.
const isolated = "CHAOS_HA_ISOLATED"

// scratch is the directory for all files. It is in memory, and only exists in the new namespaces.
const scratch = "/run/chaos-ha"

// isolate runs this test again as the first process in new process, network, mount and UTS
// namespaces. However this process ends, that process ends too, and with it the namespaces: the
// kernel kills all processes in them, and removes links, bridges, filters and files. So there is
// nothing to clean up, and an interrupted test leaves nothing behind.
func isolate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test creates network, process and mount namespaces: run it as root")
	}
	before := traces(t)
	// The kernel sends the signal when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	arguments := []string{}
	for _, argument := range os.Args[1:] {
		if !strings.HasPrefix(argument, "-test.testlogfile") &&
			!strings.HasPrefix(argument, "-test.coverprofile") {
			arguments = append(arguments, argument)
		}
	}
	command := exec.Command("/proc/self/exe", arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.Env = append(os.Environ(), isolated+"=1")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig: syscall.SIGKILL,
	}
	err := command.Run()
	assert.Equal(t, before, traces(t), "links or namespaces were left behind")
	require.NoError(t, err, "the test in its own namespaces failed, see its output above")
}

// traces returns the existing network links and named network namespaces.
func traces(t *testing.T) (names []string) {
	links, err := net.Interfaces()
	require.NoError(t, err)
	for _, link := range links {
		names = append(names, link.Name)
	}
	namespaces, err := filepath.Glob("/run/netns/*")
	require.NoError(t, err)
	return append(names, namespaces...)
}

// settle prepares the new namespaces.
func settle(t *testing.T) {
	require.NoError(t, syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	require.NoError(t, syscall.Mount("proc", "/proc", "proc", 0, ""))
	// The names of network namespaces are also files below /run.
	require.NoError(t, syscall.Mount("chaos-ha", "/run", "tmpfs", 0, "mode=0755,size=8g"))
	require.NoError(t, os.MkdirAll(here, 0o700))
	// Detect dead connections through a partition before the test is over.
	for _, name := range []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS", "HTTP2_PING_TIMEOUT_SECONDS"} {
		t.Setenv(name, "3")
	}
}

// keepLogs copies the logs out of the namespaces if the test failed.
func keepLogs(t *testing.T) {
	if !t.Failed() {
		return
	}
	directory, err := os.MkdirTemp("", "chaos-ha-logs-") //nolint:usetesting // must outlive the test
	require.NoError(t, err)
	logs, _ := filepath.Glob(scratch + "/*/*.log") // the pattern is well-formed
	for _, log := range logs {
		content, err := os.ReadFile(log)
		if err == nil {
			err = os.WriteFile(filepath.Join(directory, filepath.Base(filepath.Dir(log))+"-"+
				filepath.Base(log)), content, 0o600)
		}
		require.NoError(t, err)
	}
	t.Logf("the logs of all servers are in %s", directory)
}
