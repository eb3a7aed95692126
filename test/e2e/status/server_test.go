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

// Package status tests how several real servers on one etcd report their status.
package status

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// renewEvery is the interval at which Leases are renewed. They last three seconds.
const renewEvery = "1s"

var tool string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	home, err := os.MkdirTemp("", "wasm-admission-status-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(home) }()
	tool = filepath.Join(home, "wasmctl")
	if output, err := exec.Command("go", "build", "-o", tool, "../../../cmd/wasmctl").
		CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building wasmctl: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// cluster is an etcd for several servers. Each server has its own policy directory.
type cluster struct {
	*testing.T
	etcd *harness.Etcd
	root string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	t.Setenv("WASM_ADMISSION_STATUS_INTERVAL", renewEvery)
	c := &cluster{T: t, root: t.TempDir()}
	require.NoError(t, os.Chmod(c.root, 0o700))
	module, err := os.ReadFile("../../wat/deny.wasm")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.path("deny.wasm"), module, 0o600))
	c.etcd, err = harness.StartEtcd(c.path("etcd"))
	require.NoError(t, err)
	t.Cleanup(c.etcd.Kill9)
	return c
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.root}, parts...)...)
}

// policy writes a manifest for a server. The policy denies all writes to a resource.
func (c *cluster) policy(server, name, module, group, resource string) {
	c.Helper()
	require.NoError(c, os.MkdirAll(c.path(server+".d"), 0o700))
	text := fmt.Sprintf(`apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: %s}
spec:
  module: file://%s
  mutating: false
  rules: [{apiGroups: [%q], apiVersions: [v1], resources: [%s], operations: [CREATE, UPDATE, DELETE]}]
`, name, c.path(module), group, resource)
	require.NoError(c, os.WriteFile(c.path(server+".d", name+".yaml"), []byte(text), 0o600))
}

// start starts a server with its policy directory.
func (c *cluster) start(name string) *harness.Server {
	c.Helper()
	s, err := harness.New(harness.Options{EtcdURL: c.etcd.URL, Dir: c.path(name), FeatureGate: true,
		AdmissionConfig: `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policyDirectory: ` + c.path(name+".d") + `
    reload: {interval: 5s}
`})
	require.NoError(c, err)
	c.Cleanup(func() {
		if c.Failed() {
			c.Logf("log of server %s:\n%s", name, s.Logs())
		}
		s.Kill9()
	})
	return s
}

// wasmctl runs wasmctl status against a server.
func (c *cluster) wasmctl(s *harness.Server, arguments ...string) harness.Output {
	c.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(c.Context(), tool,
		append([]string{"status", "--kubeconfig", s.Kubeconfig()}, arguments...)...)
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		require.ErrorAs(c, err, new(*exec.ExitError))
	}
	return harness.Output{
		Stdout:   stdout.String(),
		Stderr:   stderr.String(),
		ExitCode: command.ProcessState.ExitCode(),
	}
}

// becomes waits until wasmctl status, with further arguments, exits with a code and prints all of
// the texts.
func (c *cluster) becomes(s *harness.Server, code int, arguments []string, texts ...string) string {
	c.Helper()
	var last harness.Output
	ok := func() bool {
		last = c.wasmctl(s, arguments...)
		for _, text := range texts {
			if !strings.Contains(last.Stdout, text) {
				return false
			}
		}
		return last.ExitCode == code
	}
	for end := time.Now().Add(2 * time.Minute); !ok(); {
		require.True(c, time.Now().Before(end), "exit code %d, %s%s", last.ExitCode, last.Stdout,
			last.Stderr)
	}
	return last.Stdout
}
