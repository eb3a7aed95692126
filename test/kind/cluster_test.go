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
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// patience is the time limit for everything that a cluster does, even on a busy machine.
	patience = 6 * time.Minute
	pause    = 500 * time.Millisecond
)

// The paths on a node that deploy/kubeadm uses.
const (
	configurationOnNode = "/etc/kubernetes/wasm-admission"
	stateOnNode         = "/var/lib/kubernetes/wasm-admission"
	patchesOnNode       = "/etc/kubernetes/patches"
	manifestOnNode      = "/etc/kubernetes/manifests/kube-apiserver.yaml"
)

// cluster is a cluster that kind created.
type cluster struct {
	name string
	// nodes are the names of the containers, in kind's order.
	nodes []string
	// directory has a subdirectory for each node, with the node's name.
	directory  string
	kubeconfig string
}

// newCluster writes kind's configuration for a cluster of control planes, and deletes the cluster
// when the test ends. Every node mounts a directory for the configuration and one for patches.
// kubeadm are patches for kubeadm's configuration, which kind gets unchanged.
func newCluster(t *testing.T, name string, controlPlanes int, kubeadm ...string) *cluster {
	t.Helper()
	c := &cluster{name: name, directory: t.TempDir()}
	c.kubeconfig = filepath.Join(c.directory, "kubeconfig")
	require.NoError(t, os.Chmod(c.directory, 0o755))
	text := &strings.Builder{}
	fmt.Fprintf(text, `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {disableDefaultCNI: true}
containerdConfigPatches:
- |
  [plugins."io.containerd.grpc.v1.cri"]
    restrict_oom_score_adj = true
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  apiVersion: kubelet.config.k8s.io/v1beta1
  failCgroupV1: false
`)
	for _, patch := range kubeadm {
		fmt.Fprintf(text, "- |\n  %s\n", strings.ReplaceAll(strings.TrimSpace(patch), "\n", "\n  "))
	}
	fmt.Fprintln(text, "nodes:")
	for n := range controlPlanes {
		node := name + "-control-plane"
		if n > 0 {
			node += fmt.Sprint(n + 1)
		}
		c.nodes = append(c.nodes, node)
		fmt.Fprintln(text, "- role: control-plane")
		c.write(t, node, "cni/10-routes.conflist", networkOf(n))
		fmt.Fprintln(text, "  extraMounts:")
		for from, to := range map[string]string{
			"cni":            "/etc/cni/net.d",
			"wasm-admission": configurationOnNode,
			"patches":        patchesOnNode,
		} {
			require.NoError(t, os.MkdirAll(c.path(node, from), 0o755))
			fmt.Fprintf(text, "  - {hostPath: %s, containerPath: %s}\n", c.path(node, from), to)
		}
	}
	c.write(t, "", "kind.yaml", text.String())
	t.Cleanup(func() {
		if t.Failed() {
			c.describe(t)
		}
		output, err := exec.Command("kind", "delete", "cluster", "--name", c.name).CombinedOutput()
		require.NoError(t, err, string(output))
	})
	return c
}

// create creates the cluster with kind, and waits until all of it runs.
func (c *cluster) create(t *testing.T, image string) {
	t.Helper()
	began := time.Now()
	must(t, "kind", "create", "cluster", "--name", c.name, "--image", image, "--config",
		c.path("", "kind.yaml"), "--kubeconfig", c.kubeconfig, "--retain")
	c.route(t)
	c.becomesWhole(t)
	t.Logf("%s runs after %s", c.name, time.Since(began).Round(time.Second))
}

// networkOf returns the Pod network of a node.
func networkOf(n int) string {
	return fmt.Sprintf(`{"cniVersion": "0.3.1", "name": "routes", "plugins": [
  {"type": "ptp", "mtu": 1500, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.%d.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`, n)
}

// route adds routes on each node to the Pods of the other nodes, as kindnetd does.
func (c *cluster) route(t *testing.T) {
	t.Helper()
	for _, node := range c.nodes {
		for n, other := range c.nodes {
			if other != node {
				c.on(t, node, "ip", "route", "replace", fmt.Sprintf("10.244.%d.0/24", n), "via",
					c.address(t, other))
			}
		}
	}
}

// path returns the path of a node's file on the machine.
func (c *cluster) path(node string, parts ...string) string {
	return filepath.Join(append([]string{c.directory, node}, parts...)...)
}

// write replaces a file by renaming a new one, as docs/operations.md says. If node is empty, the
// file belongs to the cluster.
func (c *cluster) write(t *testing.T, node, name, content string) {
	t.Helper()
	path := c.path(node, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	require.NoError(t, os.WriteFile(temporary, []byte(content), 0o644))
	require.NoError(t, os.Rename(temporary, path))
}

// address returns the address of a node in Docker's network.
func (c *cluster) address(t *testing.T, node string) string {
	t.Helper()
	return strings.TrimSpace(must(t, "docker", "inspect", "--format",
		"{{.NetworkSettings.Networks.kind.IPAddress}}", node))
}

// gateway returns the machine's address in Docker's network.
func (c *cluster) gateway(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(must(t, "docker", "inspect", "--format",
		"{{.NetworkSettings.Networks.kind.Gateway}}", c.nodes[0]))
}

// on runs a command on a node.
func (c *cluster) on(t *testing.T, node string, arguments ...string) string {
	t.Helper()
	return must(t, "docker", append([]string{"exec", node}, arguments...)...)
}

// kubectl runs kubectl against any of the servers. It must succeed.
func (c *cluster) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := c.try(t, arguments...)
	require.NoError(t, err, "kubectl %q: %s", arguments, output)
	return output
}

// try runs kubectl against any of the servers. It may fail.
func (c *cluster) try(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	return command(t, "kubectl", append([]string{"--kubeconfig", c.kubeconfig}, arguments...)...)
}

// at runs kubectl against a node's server, at the node's own address.
func (c *cluster) at(t *testing.T, node string, arguments ...string) (string, error) {
	t.Helper()
	return c.try(t,
		append([]string{"--server", "https://" + c.address(t, node) + ":6443"}, arguments...)...)
}

// apply sends an object to any of the servers.
func (c *cluster) apply(t *testing.T, object string, arguments ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "object.yaml")
	require.NoError(t, os.WriteFile(file, []byte(object), 0o600))
	return c.try(t, append([]string{"create", "--filename", file}, arguments...)...)
}

// becomes waits until a condition holds.
func (c *cluster) becomes(t *testing.T, what string, so func() (bool, string)) {
	t.Helper()
	var last string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		var done bool
		if done, last = so(); done {
			return
		}
	}
	require.Fail(t, "is not "+what, last)
}

// becomesWhole waits until all nodes are ready and all system Pods run.
func (c *cluster) becomesWhole(t *testing.T) {
	t.Helper()
	c.becomes(t, "whole", func() (bool, string) {
		nodes, err := c.try(t, "get", "nodes", "--no-headers")
		if err != nil || strings.Contains(nodes, "NotReady") ||
			strings.Count(nodes, " Ready ") != len(c.nodes) {
			return false, nodes
		}
		return c.podsRun(t, "kube-system")
	})
}

// podsRun reports whether every Pod in a namespace runs and is ready, and which one does not.
func (c *cluster) podsRun(t *testing.T, namespace string) (bool, string) {
	t.Helper()
	output, err := c.try(t, "--namespace", namespace, "get", "pods", "--output", "json")
	if err != nil {
		return false, output
	}
	var pods struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Phase             string
				ContainerStatuses []struct{ Ready bool }
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(output), &pods))
	for _, pod := range pods.Items {
		ready := pod.Status.Phase == "Running" && len(pod.Status.ContainerStatuses) > 0
		for _, container := range pod.Status.ContainerStatuses {
			ready = ready && container.Ready
		}
		if !ready {
			return false, fmt.Sprintf("%s is %s", pod.Metadata.Name, pod.Status.Phase)
		}
	}
	return len(pods.Items) > 0, "no pods"
}

// becomesServed waits until the server of a node reports that it is ready.
func (c *cluster) becomesServed(t *testing.T, node string) {
	t.Helper()
	c.becomes(t, "ready", func() (bool, string) {
		output, err := c.at(t, node, "get", "--raw", "/readyz")
		return err == nil && output == "ok", output
	})
}

// commit returns the commit that the server of a node was built from, according to the server.
func (c *cluster) commit(t *testing.T, node string) string {
	t.Helper()
	output, err := c.at(t, node, "version", "--output", "json")
	require.NoError(t, err, output)
	var version struct {
		ServerVersion struct{ GitCommit, GitVersion string }
	}
	require.NoError(t, json.Unmarshal([]byte(output), &version))
	return version.ServerVersion.GitVersion + " " + version.ServerVersion.GitCommit
}

// describe logs information that may explain a failure.
func (c *cluster) describe(t *testing.T) {
	for _, arguments := range [][]string{
		{"kubectl", "--kubeconfig", c.kubeconfig, "get", "nodes,pods", "--all-namespaces",
			"--output", "wide"},
		{"docker", "ps", "--all"},
		{"docker", "exec", c.nodes[0], "journalctl", "--no-pager", "--lines", "20", "--unit",
			"kubelet"},
		{"docker", "exec", c.nodes[0], "sh", "-c",
			"tail -n 20 /var/log/pods/kube-system_kube-apiserver*/*/*.log"},
	} {
		output, _ := exec.Command(arguments[0], arguments[1:]...).CombinedOutput()
		t.Logf("%q:\n%s", arguments, output)
	}
}
