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

// cluster is a server with all that can be taken away from it.
type cluster struct {
	server   *harness.Server // nil before the first start
	running  bool
	etcd     *harness.Etcd
	registry *registry.Registry
	// registryGone is whether the registry was stopped.
	registryGone bool
	// directory is for all of its files; what the server keeps is in "server", "etcd" and
	// "state", policies in "manifests" and "modules".
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

// startRegistry has the registry back, if it is gone, with its content and where it was.
func (c *cluster) startRegistry(t *testing.T) {
	t.Helper()
	if !c.registryGone {
		return
	}
	// It is to outlive the test of one fault.
	c.registry = registry.Start(lasting{t},
		registry.Options{Root: c.registry.Options.Root, Address: c.registry.Host})
	c.registryGone = false
}

// lasting is a test that cleans nothing up: what it starts ends with this process.
type lasting struct{ testing.TB }

func (lasting) Cleanup(func()) {}

// start starts the server, after it has ended the one before.
func (c *cluster) start(t *testing.T, config configuration) {
	t.Helper()
	c.stop()
	server, err := harness.New(c.options(config))
	require.NoError(t, err)
	c.server, c.running = server, true
}

// requireNoStart is for servers that must refuse to start. It returns why they did.
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

// stop ends the server, with care unless that fails.
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
