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

// replaceable is a policy whose module can be replaced. It only matches objects with its label.
const replaceable = `
- name: replaceable
  module: file://MODULES/replaceable.wasm
  objectSelector: {matchLabels: {try: replaceable}}
`

// killDuringReload kills the server while it compiles a new module, and restarts it with the
// remaining files.
func killDuringReload(t *testing.T, c *cluster) {
	c.place(t, "replaceable.wasm", "accept")
	c.start(t, configuration{policies: replaceable})
	c.hammer.RequireDenials(t)

	c.place(t, "replaceable.wasm", "audit-logger") // takes long to compile
	hammer.Eventually(t, "the reload compiles", func() error {
		if half := c.halfCompiled(t); half == "" {
			return errors.New("no compilation is in progress")
		}
		return nil
	})
	c.kill()
	require.NotEmpty(t, c.halfCompiled(t), "the reload ended before the server was killed")

	c.start(t, configuration{policies: replaceable})
	c.requireLog(t, "Removing leftovers of an interrupted compilation")
	c.requireReady(t, policiesCheck)
	require.Empty(t, c.halfCompiled(t))
}

// halfCompiled returns the name of an incomplete entry in the compiled code.
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

// etcdGone kills etcd, and later makes it hang.
func etcdGone(t *testing.T, c *cluster) {
	c.start(t, configuration{})
	c.hammer.RequireDenials(t)
	c.etcd.Kill9()
	c.requireNotReady(t, "/readyz?verbose", "[-]etcd failed")
	// A server that cannot store anything must not report a failure of the policies.
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

// registryGone starts servers while the registry is gone: one that has the module in its store, and
// one that does not.
func registryGone(t *testing.T, c *cluster) {
	c.start(t, configuration{}) // now the store has the module
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

// clockJumps starts a server whose boot-time clock is a hundred days ahead. Then it freezes the
// running server, for which all clocks jump. The wall clock cannot be set for a single process and
// is not changed. Instead, the server finds files from the far future and from long ago, as it
// would if its clock were wrong.
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
	require.Contains(t, string(offsets), ahead, "the server must have its own clocks")
	c.hammer.RequireDenials(t)

	for range 3 {
		before := c.hammer.Unanswered()
		require.NoError(t, syscall.Kill(c.server.PID(), syscall.SIGSTOP))
		hammer.Eventually(t, "every writer got no response", func() error {
			if missed := c.hammer.Unanswered() - before; missed < writers {
				return fmt.Errorf("%d writes without a response", missed)
			}
			return nil
		})
		require.NoError(t, syscall.Kill(c.server.PID(), syscall.SIGCONT))
		c.hammer.RequireDenials(t)
	}
	// The server still finds changes and serves them.
	before := c.runningSet(t)
	c.place(t, "replaceable.wasm", "deny")
	c.requireNewSet(t, before)
	c.requireReady(t, policiesCheck)
	c.requireTried(t, "replaceable", `WasmAdmission policy "replaceable" denied the request`)
	// Now the other way around: the next server's clocks are a hundred days behind this one's.
	c.stop()
	c.date(t, time.Unix(0, 0))
	c.start(t, configuration{policies: replaceable})
	c.requireReady(t, policiesCheck)
}

// date sets the modification time of all files that the server reads or keeps.
func (c *cluster) date(t *testing.T, when time.Time) {
	t.Helper()
	for _, directory := range []string{"state", "modules", "manifests"} {
		require.NoError(t,
			filepath.WalkDir(c.path(directory), func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(path, when, when))
			}))
	}
}
