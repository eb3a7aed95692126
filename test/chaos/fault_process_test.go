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

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// replaceable is a policy whose module can be replaced, and which concerns only objects
// that ask for it.
const replaceable = `
- name: replaceable
  module: file://MODULES/replaceable.wasm
  objectSelector: {matchLabels: {try: replaceable}}
`

// killDuringReload kills the server while it compiles a module that has just come, and
// starts it again on what is left.
func killDuringReload(t *testing.T, c *cluster) {
	c.place(t, "replaceable.wasm", "accept")
	c.start(t, configuration{policies: replaceable})
	c.hammer.RequireDenials(t)

	c.place(t, "replaceable.wasm", "audit-logger") // takes long to compile
	hammer.Eventually(t, "the reload compiles", func() error {
		if half := c.halfCompiled(t); half == "" {
			return errors.New("no compilation is under way")
		}
		return nil
	})
	c.kill()
	require.NotEmpty(t, c.halfCompiled(t), "the reload had ended before the server was killed")

	c.start(t, configuration{policies: replaceable})
	c.requireLog(t, "Removing leftovers of an interrupted compilation")
	c.requireReady(t, policiesCheck)
	require.Empty(t, c.halfCompiled(t))
}

// halfCompiled returns the name of an entry of compiled code that is being written.
func (c *cluster) halfCompiled(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(c.path("state", "compiled"))
	require.NoError(t, err)
	finished := map[string]bool{}
	for _, entry := range entries {
		if !entry.IsDir() {
			finished[strings.SplitN(entry.Name(), ".", 2)[0]] = true
		}
	}
	for _, entry := range entries {
		if entry.IsDir() && !finished[entry.Name()] {
			return entry.Name()
		}
	}
	return ""
}

// etcdGone kills etcd, and then has it hang.
func etcdGone(t *testing.T, c *cluster) {
	c.start(t, configuration{})
	c.hammer.RequireDenials(t)
	c.etcd.Kill9()
	c.requireNotReady(t, "/readyz?verbose", "[-]etcd failed")
	// That it cannot store anything is not the policies' failure.
	c.requireReady(t, policiesCheck)
	require.Error(t, c.comply(t.Context(), hammer.ConfigMap("", "team", "red")))
	c.startEtcd(t)
	c.requireReady(t, "/readyz")
	c.requireControl(t)

	require.NoError(t, syscall.Kill(c.etcd.PID(), syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, c.comply(ctx, hammer.ConfigMap("", "team", "red")))
	require.NoError(t, syscall.Kill(c.etcd.PID(), syscall.SIGCONT))
	c.requireReady(t, "/readyz")
}

// registryGone starts servers while the registry is gone: one that has the module, and
// one that has not.
func registryGone(t *testing.T, c *cluster) {
	c.start(t, configuration{}) // the store has the module now, if it had not
	c.stopRegistry()
	defer c.startRegistry(t)
	c.start(t, configuration{})
	c.requireLog(t, "Cannot ask a registry what a tag refers to: using what it referred to last")
	c.requireControl(t)
	c.hammer.RequireDenials(t)

	problems := c.requireNoStart(t, configuration{state: c.path("empty-state")})
	require.Contains(t, problems, "policies[no-privileged-pods].module: ")
	require.Contains(t, problems, c.registry.Host+"/pod-privileged:v1")
	require.Contains(t, problems, "connection refused")

	c.startRegistry(t)
	c.start(t, configuration{state: c.path("empty-state")})
	c.requireLog(t, "Fetched module from a registry")
}

// clockJumps has a server whose clock since boot is a hundred days ahead, and then has
// time jump for it while it runs: what was frozen finds that all clocks went on. The
// clock of the day cannot be set for one process and is left alone; files from the far
// future, and from long ago, are what a server would find whose clock was wrong.
func clockJumps(t *testing.T, c *cluster) {
	const ahead = "8640000"
	wrapper := []string{"unshare", "--time", "--monotonic", ahead, "--boottime", ahead}
	if err := syscall.Access("/proc/self/timens_offsets", 0); err != nil || os.Geteuid() != 0 {
		t.Skip("needs root and a kernel with time namespaces")
	}
	c.place(t, "replaceable.wasm", "accept")
	c.stop()
	c.date(t, time.Now().AddDate(100, 0, 0))
	c.start(t, configuration{policies: replaceable, wrapper: wrapper})
	offsets, err := os.ReadFile(fmt.Sprintf("/proc/%d/timens_offsets", c.server.PID()))
	require.NoError(t, err)
	require.Contains(t, string(offsets), ahead, "the server has other clocks")
	c.hammer.RequireDenials(t)

	for range 3 {
		before := c.hammer.Unanswered()
		require.NoError(t, syscall.Kill(c.server.PID(), syscall.SIGSTOP))
		hammer.Eventually(t, "every writer has waited in vain", func() error {
			if missed := c.hammer.Unanswered() - before; missed < writers {
				return fmt.Errorf("%d writes without an answer", missed)
			}
			return nil
		})
		require.NoError(t, syscall.Kill(c.server.PID(), syscall.SIGCONT))
		c.hammer.RequireDenials(t)
	}
	// It still finds changes, and serves them.
	before := c.runningSet(t)
	c.place(t, "replaceable.wasm", "deny")
	c.requireNewSet(t, before)
	c.requireReady(t, policiesCheck)
	c.requireTried(t, "replaceable", `WasmAdmission policy "replaceable" denied the request`)
	// And back again: the next server's clocks are a hundred days behind this one's.
	c.stop()
	c.date(t, time.Unix(0, 0))
	c.start(t, configuration{policies: replaceable})
	c.requireReady(t, policiesCheck)
}

// date says of all files that the server reads or keeps that they were written then.
func (c *cluster) date(t *testing.T, when time.Time) {
	t.Helper()
	for _, directory := range []string{"state", "modules", "manifests"} {
		require.NoError(t,
			filepath.WalkDir(c.path(directory), func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(path, when, when))
			}))
	}
}
