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

package kind

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// release is the output of `make image`: the server under test, and the files to install it.
type release struct {
	// archive contains the server's image for docker.
	archive string
	// webhookArchive contains the webhook server's image.
	webhookArchive string
	// wasmctlArchive contains wasmctl's image.
	wasmctlArchive string
	// manifests is the directory deploy from the archive of manifests.
	manifests string
	// commit is the commit that the server must report.
	commit string
}

// openRelease unpacks the manifests in KIND_DIST.
func openRelease(t *testing.T) *release {
	t.Helper()
	dist := os.Getenv("KIND_DIST")
	one := func(pattern string) string {
		found, err := filepath.Glob(filepath.Join(dist, pattern))
		require.NoError(t, err)
		require.Len(t, found, 1, "%s in %s", pattern, dist)
		return found[0]
	}
	directory := t.TempDir()
	must(t, "tar", "--extract", "--gzip", "--file", one("manifests-*.tar.gz"), "--directory",
		directory)
	found, err := filepath.Glob(filepath.Join(directory, "manifests-*"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return &release{
		archive:        one("images/kube-apiserver-*.docker.tar"),
		webhookArchive: one("images/wasm-admission-webhook-*.docker.tar"),
		wasmctlArchive: one("images/wasmctl-*.docker.tar"),
		manifests:      found[0],
		commit:         os.Getenv("KIND_COMMIT"),
	}
}

func (r *release) read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{r.manifests, "kubeadm"}, parts...)...))
	require.NoError(t, err)
	return string(text)
}

// modules are the modules that the cases use, keyed by their names in manifests.
var modules = map[string]string{
	"pod-privileged":       "test/policies/pod-privileged/policy.wasm",
	"default-tolerations":  "test/policies/default-tolerations/policy.wasm",
	"label-from-namespace": "test/policies/label-from-namespace-rust/policy.wasm",
	"image-pattern":        "test/policies/image-pattern/policy.wasm",
	"no-latest-tag":        "test/policies/no-latest-tag/policy.wasm",
	"deny":                 "test/wat/deny.wasm",
}

// install copies the files in deploy/kubeadm, the modules, and the shipped policy to a node. The
// policy loads its module from disk, because there is no registry.
func (c *cluster) install(t *testing.T, r *release, node string) {
	t.Helper()
	for _, name := range []string{"admission.yaml", "config.yaml"} {
		c.write(t, node, "wasm-admission/"+name, r.read(t, "wasm-admission", name))
	}
	patch := "kube-apiserver+strategic.yaml"
	c.write(t, node, "patches/"+patch, r.read(t, "patches", patch))
	for name, file := range modules {
		module, err := os.ReadFile(filepath.Join(root(t), file))
		require.NoError(t, err)
		c.write(t, node, "wasm-admission/modules/"+name+".wasm", string(module))
	}
	shipped := r.read(t, "wasm-admission", "policies.d", "pod-privileged.yaml")
	before, after, found := strings.Cut(shipped, "registry://")
	require.True(t, found)
	_, after, _ = strings.Cut(after, "\n")
	c.write(t, node, "wasm-admission/policies.d/pod-privileged.yaml",
		before+location("pod-privileged")+"\n"+after)
}

// location returns the URL of a module for manifests.
func location(module string) string {
	return "file://" + configurationOnNode + "/modules/" + module + ".wasm"
}

// configuration returns the ClusterConfiguration that kubeadm stored in the cluster.
func (c *cluster) configuration(t *testing.T) string {
	t.Helper()
	return c.kubectl(t, "--namespace", "kube-system", "get", "configmap", "kubeadm-config",
		"--output", "jsonpath={.data.ClusterConfiguration}")
}

// clusterConfiguration returns the cluster's configuration with the additions from deploy/kubeadm.
func (c *cluster) clusterConfiguration(t *testing.T, r *release) string {
	t.Helper()
	var there, added map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(c.configuration(t)), &there))
	first, _, _ := strings.Cut(r.read(t, "cluster.yaml"), "\n---\n")
	require.NoError(t, yaml.Unmarshal([]byte(first), &added))
	server, _ := there["apiServer"].(map[string]any)
	if server == nil {
		server = map[string]any{}
	}
	for _, list := range []string{"extraArgs", "extraVolumes"} {
		old, _ := server[list].([]any)
		server[list] = append(old, added["apiServer"].(map[string]any)[list].([]any)...)
	}
	there["apiServer"] = server
	text, err := yaml.Marshal(there)
	require.NoError(t, err)
	return string(text)
}

// writeServer makes kubeadm regenerate the manifest of a node's server, with the steps in
// docs/operations.md.
func (c *cluster) writeServer(t *testing.T, node, configuration string) {
	t.Helper()
	c.write(t, node, "wasm-admission/kubeadm.yaml", configuration+fmt.Sprintf(`---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: %s}
patches: {directory: %s}
`, c.address(t, node), patchesOnNode))
	c.on(t, node, "kubeadm", "init", "phase", "control-plane", "apiserver", "--config",
		configurationOnNode+"/kubeadm.yaml")
}

// becomesBuiltOf waits until the server of a node is ready and was built from the commit, or,
// unless ours is set, from another one.
func (c *cluster) becomesBuiltOf(t *testing.T, node string, ours bool, commit string) {
	t.Helper()
	c.becomes(t, "the other server", func() (bool, string) {
		output, err := c.at(t, node, "version", "--output", "json")
		return err == nil && strings.Contains(output, commit) == ours, output
	})
	c.becomesServed(t, node)
}
