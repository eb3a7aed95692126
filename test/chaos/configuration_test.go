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
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// The policies of every server, whatever the fault. One policy is in the configuration, with a
// module from the registry. The other one is a manifest, with a module from a file.
const (
	enforced = `
- name: no-privileged-pods
  module: registry://REGISTRY/pod-privileged:v1
`
	enforcedManifest = `
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: team-label}
spec:
  module: file://MODULES/required-labels.wasm
  settings: {labels: {team: "^[a-z]+$"}}
  mutating: false
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ` + hammer.Namespace + `}}
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]
`
)

// configuration holds the settings in which servers differ.
type configuration struct {
	// state is the state directory. The default is "state" in the cluster's directory.
	state string
	// keepLastGood lets the server serve the last good set after a restart.
	keepLastGood bool
	// compilation is where modules are compiled. The default is a child process.
	compilation string
	// policies are additional policies, as a YAML list.
	policies string
	// wrapper is a command that runs the server.
	wrapper []string
	// off makes the server enforce nothing.
	off bool
}

func (c *cluster) options(config configuration) harness.Options {
	if config.off {
		return harness.Options{EtcdURL: c.etcd.URL, Dir: c.path("server")}
	}
	policies := c.expand(strings.TrimSpace(enforced) + "\n" + strings.TrimSpace(config.policies))
	return harness.Options{
		EtcdURL:     c.etcd.URL,
		FeatureGate: true,
		Dir:         c.path("server"),
		Wrapper:     config.wrapper,
		AdmissionConfig: fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policyDirectory: %s
    stateDirectory: %s
    reload: {interval: 1s, keepLastGood: %t}
    sources: {insecure: ["%s"], timeout: 5s}
    compilation: {mode: %s}
    circuitBreaker: {failures: 5, probeInterval: 1s}
    policies:
    %s
`, c.path("manifests"), cmp.Or(config.state, c.path("state")), config.keepLastGood, c.registry.Host, cmp.Or(config.compilation, "ChildProcesses"), strings.ReplaceAll(policies, "\n", "\n    ")),
	}
}

// expand replaces placeholders by the locations of the modules.
func (c *cluster) expand(text string) string {
	return strings.NewReplacer("REGISTRY", c.registry.Host, "MODULES", c.path("modules")).
		Replace(text)
}

// guest returns the module with a name in test/policies or test/wat.
func guest(t *testing.T, name string) []byte {
	t.Helper()
	for _, pattern := range []string{
		"../../bin/policies/%s.wasm", "../policies/%s/policy.wasm", "../wat/%s.wasm",
	} {
		if wasm, err := os.ReadFile(fmt.Sprintf(pattern, name)); err == nil {
			return wasm
		}
	}
	require.FailNow(t, "module not found: run make policies", name)
	return nil
}

// place atomically puts a guest where the policies look for a module.
func (c *cluster) place(t *testing.T, file, name string) {
	t.Helper()
	c.placeBytes(t, file, guest(t, name))
}

func (c *cluster) placeBytes(t *testing.T, file string, content []byte) {
	t.Helper()
	temporary := c.path("modules", ".new")
	require.NoError(t, os.WriteFile(temporary, content, 0o600))
	require.NoError(t, os.Rename(temporary, c.path("modules", file)))
}
