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
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/registry"
)

// cluster is a server with everything that can fail around it.
type cluster struct {
	server   *harness.Server // nil before the first start
	running  bool
	etcd     *harness.Etcd
	registry *registry.Registry
	// registryGone is set if the registry was stopped.
	registryGone bool
	// directory contains all files. The server keeps its data in "server", "etcd" and "state".
	// Policies are in "manifests" and "modules".
	directory string
	hammer    *hammer.Hammer
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{directory: t.TempDir()}
	require.NoError(t, os.Chmod(c.directory, 0o700))
	for _, name := range []string{"manifests", "modules"} {
		require.NoError(t, os.Mkdir(c.path(name), 0o700))
	}
	c.place(t, "required-labels.wasm", "required-labels")
	c.registry = registry.Start(t, registry.Options{})
	c.registry.Push(t, "pod-privileged", "v1", guest(t, "pod-privileged"))
	require.NoError(t,
		os.WriteFile(c.path("manifests", "team-label.yaml"), []byte(c.expand(enforcedManifest)),
			0o600))
	c.startEtcd(t)
	t.Cleanup(func() {
		if c.running {
			c.server.Kill9()
		}
		c.etcd.Kill9()
	})
	writersClient := &latest{kubeconfig: filepath.Join(c.path("server"), "kubeconfig")}
	c.hammer = &hammer.Hammer{Client: writersClient.get, Pace: pace}
	return c
}

func (c *cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.directory}, names...)...)
}

func (c *cluster) startEtcd(t *testing.T) {
	t.Helper()
	etcd, err := harness.StartEtcd(c.path("etcd"))
	require.NoError(t, err)
	c.etcd = etcd
}

func (c *cluster) stopRegistry() {
	c.registry.Stop()
	c.registryGone = true
}

// startRegistry restarts the registry if it was stopped, with the same content and address.
func (c *cluster) startRegistry(t *testing.T) {
	t.Helper()
	if !c.registryGone {
		return
	}
	// The registry must outlive the subtest of one fault.
	c.registry = registry.Start(lasting{t},
		registry.Options{Root: c.registry.Options.Root, Address: c.registry.Host})
	c.registryGone = false
}

// lasting is a test without cleanup. Everything that it starts ends with this process.
type lasting struct{ testing.TB }

func (lasting) Cleanup(func()) {}

// start stops the previous server and starts a new one.
func (c *cluster) start(t *testing.T, config configuration) {
	t.Helper()
	c.stop()
	server, err := harness.New(c.options(config))
	require.NoError(t, err)
	c.server, c.running = server, true
}

// requireNoStart checks that the server refuses to start, and returns the reason.
func (c *cluster) requireNoStart(t *testing.T, config configuration) string {
	t.Helper()
	c.stop()
	code, stderr := harness.StartExpectingFailure(t, c.options(config))
	require.Equal(t, 1, code)
	var problems []string
	for line := range strings.Lines(stderr) {
		if problem, found := strings.CutPrefix(line, "kube-apiserver: WasmAdmission: "); found {
			problems = append(problems, strings.TrimSpace(problem))
		}
	}
	t.Logf("start refused: %q", problems)
	return strings.Join(problems, "\n")
}

// stop stops the server gracefully, or kills it if that fails.
func (c *cluster) stop() {
	if !c.running {
		return
	}
	c.running = false
	if err := c.server.Stop(); err != nil {
		c.server.Kill9()
	}
}

func (c *cluster) kill() {
	c.running = false
	c.server.Kill9()
}
