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
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// threeControlPlanes creates a cluster that has the plugin from its first start, with the unchanged
// files in deploy/kubeadm. Later it removes a control plane.
func threeControlPlanes(t *testing.T, counted *tally) {
	r := openRelease(t)
	// Nodes that join need the patches, as the first node does.
	patches := append(strings.Split(r.read(t, "cluster.yaml"), "\n---\n"), `kind: JoinConfiguration
apiVersion: kubeadm.k8s.io/v1beta4
patches: {directory: /etc/kubernetes/patches}`)
	c := newCluster(t, "three", 3, patches...)
	for _, node := range c.nodes {
		c.install(t, r, node)
		c.write(t, node, "wasm-admission/policies.d/pod-privileged.yaml",
			about("pod-privileged", "pod-privileged").String())
	}
	must(t, root(t)+"/test/kind/bootstrap/preload.sh", nodeImage, r.archive, preloaded)
	t.Cleanup(func() { _, _ = command(t, "docker", "rmi", preloaded) })
	c.create(t, preloaded)
	counted.ControlPlanes = max(counted.ControlPlanes, len(c.nodes))

	if !counted.run(t, "EachIsBuiltOfTheCommit", func(t *testing.T) {
		for _, node := range c.nodes {
			require.Contains(t, c.commit(t, node), r.commit)
		}
		c.kubectl(t, "create", "namespace", "shop")
	}) {
		t.FailNow()
	}
	for _, each := range controlPlaneCases {
		counted.run(t, each.name, func(t *testing.T) { each.run(t, c) })
	}
	counted.run(t, "SyncedByADaemonSet", func(t *testing.T) { c.synced(t, r) })
	counted.run(t, "ThreeSystemPodsRun", func(t *testing.T) { c.becomesWhole(t) })
}

// preloaded is the node image that contains the server under test.
const preloaded = "wasm-admission/kind-node:preloaded"

var controlPlaneCases = []policyCase{
	{"EachRefuses", func(t *testing.T, c *cluster) { c.requireEachRefuses(t, c.nodes...) }},
	{"EachServesTheSameSet", eachServesTheSameSet},
	{"PodsReachTheService", podsReachTheService},
	{"PolicyRolledNodeByNode", policyRolled},
	{"OneKilled", oneKilled},
	{"RestartedOneByOne", restartedOneByOne},
}

// requireEachRefuses checks that each server denies a violating Pod, at the server's own address.
func (c *cluster) requireEachRefuses(t *testing.T, nodes ...string) {
	t.Helper()
	file := c.path("", "privileged.yaml")
	require.NoError(t, os.WriteFile(file, []byte(pod("shop", "refused", true)), 0o600))
	for _, node := range nodes {
		output, err := c.at(t, node, "create", "--filename", file)
		require.Error(t, err, node)
		require.Contains(t, output, denied("pod-privileged"), node)
	}
}

func eachServesTheSameSet(t *testing.T, c *cluster) {
	first, _ := c.hashes(t, c.nodes[0])
	require.NotEmpty(t, first)
	for _, node := range c.nodes {
		running, desired := c.hashes(t, node)
		require.Equal(t, []string{first, first}, []string{running, desired}, node)
	}
}

// podsReachTheService checks that a Pod on each node reaches the apiservers' Service, whose
// endpoints are on all nodes.
func podsReachTheService(t *testing.T, c *cluster) {
	for n, node := range c.nodes {
		name := fmt.Sprintf("on-%d", n)
		c.requireAdmitted(t, pod("shop", name, false, "nodeName: "+node))
		t.Cleanup(func() { c.kubectl(t, "--namespace", "shop", "delete", "pod", name) })
	}
	c.becomes(t, "running", func() (bool, string) { return c.podsRun(t, "shop") })
	for n := range c.nodes {
		name := fmt.Sprintf("on-%d", n)
		output := c.kubectl(t, "--namespace", "shop", "exec", name, "--", "curl", "--silent",
			"--show-error", "--insecure", "https://kubernetes.default.svc.cluster.local/livez")
		require.Equal(t, "ok", output)
	}
}

// policyRolled changes the policies of one node after another, while all nodes get requests that
// both versions deny.
func policyRolled(t *testing.T, c *cluster) {
	h := c.startHammer(t)
	p := about("no-latest", "no-latest-tag")
	latest := c.path("", "latest.yaml")
	require.NoError(t,
		os.WriteFile(latest,
			[]byte(strings.ReplaceAll(pod("shop", "latest", false), "shell:v1", "shell:latest")),
			0o600))
	for n, node := range c.nodes {
		c.change(t, node, func() { c.write(t, node, p.file(), p.String()) })
		for m, other := range c.nodes {
			output, err := c.at(t, other, "create", "--filename", latest, dryRun)
			if m > n {
				require.NoError(t, err, output)
				continue
			}
			require.Error(t, err, other)
			require.Contains(t, output, denied("no-latest"))
		}
	}
	eachServesTheSameSet(t, c)
	h.requireRefused(t)
}

// oneKilled kills a node. The other nodes continue to run, and deny violating requests.
func oneKilled(t *testing.T, c *cluster) {
	gone := c.nodes[2]
	h := c.startHammer(t)
	must(t, "docker", "kill", gone)
	written := 0
	c.becomes(t, "written to", func() (bool, string) {
		output, err := c.try(t, "--namespace", "shop", "create", "configmap",
			fmt.Sprintf("written-%d", written), "--request-timeout", "10s")
		if err == nil {
			written++
		}
		return written == 20, output
	})
	c.requireEachRefuses(t,
		slices.DeleteFunc(slices.Clone(c.nodes), func(node string) bool { return node == gone })...)
	must(t, "docker", "start", gone)
	c.becomesServed(t, gone)
	c.route(t)
	c.becomesWhole(t)
	c.requireEachRefuses(t, c.nodes...)
	h.requireRefused(t)
}

// restartedOneByOne restarts the servers one by one, as an upgrade of the plugin does.
func restartedOneByOne(t *testing.T, c *cluster) {
	h := c.startHammer(t)
	for _, node := range c.nodes {
		c.restartServer(t, node)
		c.requireEachRefuses(t, node)
	}
	h.requireRefused(t)
	eachServesTheSameSet(t, c)
}
