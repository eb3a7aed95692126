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
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// versions are the policies in two versions. Both deny the writers' violating writes. From one to
// the other, a module changes, a policy is renamed, its settings are relaxed, and a policy is
// added.
var versions = map[string]string{
	"v1": manifest("no-privileged-pods", "file://MODULES/pod-privileged-v1.wasm",
		`rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods, replicationcontrollers], operations: [CREATE, UPDATE]},
    {apiGroups: [""], apiVersions: [v1], resources: [pods/ephemeralcontainers], operations: [UPDATE]},
    {apiGroups: [apps], apiVersions: [v1], resources: [deployments, replicasets, statefulsets, daemonsets], operations: [CREATE, UPDATE]},
    {apiGroups: [batch], apiVersions: [v1], resources: [jobs, cronjobs], operations: [CREATE, UPDATE]}]`) +
		manifest("team-label", "file://MODULES/required-labels.wasm",
			`settings: {labels: {team: "^[a-z]+$"}}
  `+onConfigMaps),
	"v2": manifest("no-privileged-pods", "file://MODULES/pod-privileged-v2.wasm",
		`rules: [{apiGroups: ["", apps, batch], apiVersions: [v1], operations: [CREATE, UPDATE],
    resources: [pods, pods/ephemeralcontainers, replicationcontrollers, deployments, replicasets, statefulsets, daemonsets, jobs, cronjobs]}]`) +
		manifest("team-label-with-hyphens", "file://MODULES/required-labels.wasm",
			`settings: {labels: {team: "^[a-z]+(-[a-z]+)*$"}}
  `+onConfigMaps) +
		manifest("watched", "file://MODULES/accept.wasm", `mode: monitor
  `+onConfigMaps),
	"not-yaml": "kind: [",
	"too-few":  manifest("watched", "file://MODULES/accept.wasm", onConfigMaps),
	"no-module": manifest("watched", "file://MODULES/accept.wasm", onConfigMaps) +
		manifest("team-label", "file://MODULES/missing.wasm", onConfigMaps),
}

const onConfigMaps = `rules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]`

// between is a label value that only one of the versions allows.
const between = "red-green"

func manifest(name, module, fields string) string {
	return fmt.Sprintf(`---
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: %s}
spec:
  module: %s
  mutating: false
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %s}}
  %s
`, name, module, hammer.Namespace, fields)
}

// placePolicies copies the modules and all versions of the policies to a node, and selects the
// first version.
func (n *node) placePolicies(t *testing.T) {
	n.placeModules(t)
	for version, manifests := range versions {
		require.NoError(t, os.Mkdir(n.path(version), 0o700))
		require.NoError(t,
			os.WriteFile(n.path(version, "policies.yaml"),
				[]byte(strings.ReplaceAll(manifests, "MODULES", here+"/modules")), 0o600))
	}
	n.choose(t, "v1")
}

func (n *node) placeModules(t *testing.T) {
	t.Helper()
	read := func(path string) []byte {
		wasm, err := os.ReadFile("../../../" + path)
		require.NoError(t, err, "modules are missing: run `make policies`")
		return wasm
	}
	privileged := read("test/policies/pod-privileged/policy.wasm")
	for name, content := range map[string][]byte{
		"pod-privileged-v1.wasm": privileged,
		// a custom section makes it a different module
		"pod-privileged-v2.wasm": append(privileged, 0, 2, 1, '2'),
		"required-labels.wasm":   read("bin/policies/required-labels.wasm"),
		"accept.wasm":            read("test/wat/accept.wasm"),
	} {
		require.NoError(t, os.WriteFile(n.path("modules", ".new"), content, 0o600))
		require.NoError(t, os.Rename(n.path("modules", ".new"), n.path("modules", name)))
	}
}

// choose points a node's policy directory to a version, as the documentation advises.
func (n *node) choose(t *testing.T, version string) {
	t.Helper()
	require.NoError(t, os.Symlink(version, n.path("next")))
	require.NoError(t, os.Rename(n.path("next"), n.path("policies")))
}

// admissionConfig returns the admission configuration of the next server.
func (n *node) admissionConfig() string {
	return fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
    policyDirectory: %s
    stateDirectory: %s
    minimumPolicies: 2
    reload: {keepLastGood: %t}
`, here+"/policies", here+"/state", n.keepLastGood)
}

// serves returns the version that a server serves. It sends a write on which the versions differ.
func (n *node) serves(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, hammer.AnswerTimeout)
	defer cancel()
	err := hammer.DryRun(ctx, n.dynamic, hammer.ConfigMap("", "team", between))
	switch {
	case err == nil:
		return "v2", nil
	case hammer.DeniedBy(err, "team-label"):
		return "v1", nil
	}
	return "", fmt.Errorf("%s: %w", n.name, err)
}

// requireVersion waits until servers serve a version.
func (c *cluster) requireVersion(t *testing.T, version string, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		hammer.Eventually(t, fmt.Sprintf("%s serves %s", n.name, version), func() error {
			serves, err := n.serves(t.Context())
			if err == nil && serves != version {
				err = fmt.Errorf("the server serves %s", serves)
			}
			return err
		})
	}
}

// change switches nodes to a version, and waits until their servers serve it.
func (c *cluster) change(t *testing.T, version string, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		n.choose(t, version)
		c.requireVersion(t, version, n)
	}
}
