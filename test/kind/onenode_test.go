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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// oneNode installs the plugin in a running cluster, does what users do, and rolls back.
func oneNode(t *testing.T, counted *tally) {
	r := openRelease(t)
	c := newCluster(t, "one", 1)
	c.create(t, nodeImage)
	counted.ControlPlanes = max(counted.ControlPlanes, 1)
	node := c.nodes[0]
	var before traces

	if !counted.run(t, "PlainServer", func(t *testing.T) {
		require.NotContains(t, c.commit(t, node), r.commit)
		c.kubectl(t, "create", "namespace", "shop")
		c.kubectl(t, "label", "namespace", "shop", "owner=till")
		c.becomes(t, "able to take pods", func() (bool, string) {
			output, err := c.apply(t, pod("shop", "plain", true), dryRun)
			return err == nil, output // the service account is created a moment later
		})
		c.becomesSettled(t)
		before = c.look(t)
	}) {
		t.FailNow()
	}
	manifest, configuration := c.on(t, node, "cat", manifestOnNode), c.configuration(t)
	if !counted.run(t, "UpgradeToThePlugin", func(t *testing.T) { c.upgrade(t, r) }) {
		t.FailNow()
	}
	for _, each := range slices.Concat(policyCases, faultCases) {
		counted.run(t, each.name, func(t *testing.T) { each.run(t, c) })
	}
	counted.run(t, "KubeadmUpgradeKeepsThePlugin", func(t *testing.T) { c.kubeadmUpgrade(t, r) })
	if counted.run(t, "RollBack", func(t *testing.T) {
		c.rollBack(t, r, manifest, configuration)
	}) {
		counted.run(t, "RollbackLeavesNoTrace", func(t *testing.T) {
			before.requireEqual(t, c.look(t))
		})
		counted.run(t, "WebhookOnThePlainServer", func(t *testing.T) { c.webhook(t, r) })
	}
}

// upgrade follows "A running cluster" in docs/operations.md.
func (c *cluster) upgrade(t *testing.T, r *release) {
	node := c.nodes[0]
	configuration := c.clusterConfiguration(t, r)
	c.install(t, r, node)
	must(t, "kind", "load", "image-archive", "--name", c.name, r.archive)
	c.writeServer(t, node, configuration)
	c.becomesBuiltOf(t, node, true, r.commit)
	output, err := c.at(t, node, "get", "--raw", "/readyz/wasm-admission-policies")
	require.NoError(t, err, output)
	require.Equal(t, "ok", output)
	c.on(t, node, "kubeadm", "init", "phase", "upload-config", "kubeadm", "--config",
		configurationOnNode+"/kubeadm.yaml")
	require.Contains(t,
		c.kubectl(t, "--namespace", "kube-system", "get", "configmap", "kubeadm-config", "--output",
			"yaml"), "WasmAdmission=true")

	// The shipped policy is in monitor mode until its mode is set to protect.
	c.requireAdmitted(t, pod("shop", "monitored", true), dryRun)
	c.change(t, node, func() {
		c.write(t, node, "wasm-admission/policies.d/pod-privileged.yaml",
			about("pod-privileged", "pod-privileged").String())
	})
	c.requireDenied(t, "pod-privileged", pod("shop", "protected", true))
}

// kubeadmUpgrade makes kubeadm upgrade to the current version, in the same way as to a newer one.
func (c *cluster) kubeadmUpgrade(t *testing.T, r *release) {
	node := c.nodes[0]
	var configuration map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(r.read(t, "upgrade.yaml")), &configuration))
	apply := configuration["apply"].(map[string]any)
	apply["kubernetesVersion"] = strings.TrimSpace(c.on(t, node, "cat", "/kind/version"))
	apply["forceUpgrade"] = true
	apply["ignorePreflightErrors"] = []string{"all"} // the images exist but cannot be pulled
	text, err := yaml.Marshal(configuration)
	require.NoError(t, err)
	c.write(t, node, "wasm-admission/upgrade.yaml", string(text))
	c.on(t, node, "kubeadm", "upgrade", "apply", "--config", configurationOnNode+"/upgrade.yaml")
	// kubeadm runs a Job to check that Pods can run, and leaves it to expire.
	c.kubectl(t, "--namespace", "kube-system", "delete", "jobs", "--all")
	c.becomesBuiltOf(t, node, true, r.commit)
	c.becomesWhole(t)
	c.requireDenied(t, "pod-privileged", pod("shop", "upgraded", true))
}

// rollBack restores the plain server, and removes the files that the administrator added.
func (c *cluster) rollBack(t *testing.T, r *release, manifest, configuration string) {
	node := c.nodes[0]
	c.write(t, node, "wasm-admission/before.yaml", manifest)
	c.on(t, node, "cp", configurationOnNode+"/before.yaml", manifestOnNode)
	c.becomesBuiltOf(t, node, false, r.commit)
	c.becomesWhole(t)
	c.requireAdmitted(t, pod("shop", "plain", true), dryRun)
	c.write(t, node, "wasm-admission/kubeadm.yaml", configuration)
	c.on(t, node, "kubeadm", "init", "phase", "upload-config", "kubeadm", "--config",
		configurationOnNode+"/kubeadm.yaml")
	require.Equal(t, configuration, c.configuration(t))

	c.on(t, node, "rm", "-r", stateOnNode)
	for _, directory := range []string{"wasm-admission", "patches"} {
		found, err := filepath.Glob(filepath.Join(c.path(node, directory), "*"))
		require.NoError(t, err)
		for _, each := range found {
			require.NoError(t, os.RemoveAll(each))
		}
	}
}

// becomesSettled waits for the objects that controllers create in each namespace.
func (c *cluster) becomesSettled(t *testing.T) {
	t.Helper()
	c.becomes(t, "settled", func() (bool, string) {
		namespaces := c.kubectl(t, "get", "namespaces", "--output", "name")
		published := c.kubectl(t, "get", "configmaps,serviceaccounts", "--all-namespaces",
			"--output", "name")
		want := strings.Count(namespaces, "namespace/")
		return strings.Count(published, "configmap/kube-root-ca.crt\n") == want &&
			strings.Count(published, "serviceaccount/default\n") == want, published
	})
}

// traces holds the things that a server could leave behind in a cluster and on its nodes.
type traces struct {
	objects, files []string
}

// look lists all objects, except those that come and go by themselves, and all files of the control
// plane.
func (c *cluster) look(t *testing.T) traces {
	t.Helper()
	var found traces
	kinds := strings.Fields(c.kubectl(t, "api-resources", "--verbs", "list", "--output", "name"))
	for _, kind := range kinds {
		if strings.HasPrefix(kind, "events") || strings.HasPrefix(kind, "pods") {
			continue
		}
		for name := range strings.SplitSeq(c.kubectl(t, "get", kind, "--all-namespaces",
			"--no-headers", "--ignore-not-found", "--output",
			"custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name"), "\n") {
			found.objects = append(found.objects, kind+" "+strings.Join(strings.Fields(name), "/"))
		}
	}
	// If a directory does not exist, find prints an error and continues.
	found.files =
		strings.Fields(c.on(t, c.nodes[0], "sh", "-c",
			"find /etc /usr/local /opt /var/lib/kubernetes -type f ! -path '/etc/kubernetes/tmp/*' 2>/dev/null || true"))
	return found
}

func (before traces) requireEqual(t *testing.T, now traces) {
	t.Helper()
	for _, what := range [][2][]string{{before.objects, now.objects}, {before.files, now.files}} {
		left := slices.DeleteFunc(slices.Clone(what[1]), func(one string) bool {
			return slices.Contains(what[0], one)
		})
		require.Empty(t, left)
	}
}
