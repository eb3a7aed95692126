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
	"context"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// faultCases are faults around the server of a cluster with one node.
var faultCases = []policyCase{
	{"NoNetworkForPods", noNetwork},
	{"StaticPodRestart", staticPodRestart},
	{"ContainerKilled", containerKilled},
	{"NodeRestart", nodeRestart},
}

func inAnHour() string { return time.Now().UTC().Add(time.Hour).Format(time.RFC3339) }

// hammer sends writes that a policy must deny, and counts the outcomes.
type hammer struct {
	refused, admitted atomic.Int64
	stop              context.CancelFunc
	writers           sync.WaitGroup
}

// startHammer writes privileged Pods to a cluster, through any of the servers, until it is stopped.
func (c *cluster) startHammer(t *testing.T) *hammer {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	require.NoError(t, err)
	config.QPS, config.Timeout = -1, 10*time.Second
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	h := &hammer{stop: stop}
	privileged := true
	object := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "hammer-"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "example.com/shell:v1",
			SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
		}}},
	}
	for range 2 {
		h.writers.Go(func() {
			for ctx.Err() == nil {
				_, err := client.CoreV1().Pods("shop").Create(ctx, object, metav1.CreateOptions{})
				switch {
				case err == nil:
					h.admitted.Add(1)
				case strings.Contains(err.Error(), denied("pod-privileged")):
					h.refused.Add(1)
				}
			}
		})
	}
	t.Cleanup(func() { h.end() })
	return h
}

func (h *hammer) end() {
	h.stop()
	h.writers.Wait()
}

// requireRefused stops the writes, none of which may have been admitted.
func (h *hammer) requireRefused(t *testing.T) {
	t.Helper()
	before := h.refused.Load()
	require.Eventually(t, func() bool { return h.refused.Load() > before }, patience, pause,
		"some writes must be denied")
	h.end()
	require.Zero(t, h.admitted.Load())
	t.Logf("%d writes were denied, none was admitted", h.refused.Load())
}

// noNetwork removes the configuration of the network. Policies in the server do not need it, and
// they do not deny the Pods that repair it.
func noNetwork(t *testing.T, c *cluster) {
	node := c.nodes[0]
	file := c.path(node, "cni/10-routes.conflist")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	c.on(t, node, "systemctl", "restart", "containerd")
	c.becomes(t, "without a network", func() (bool, string) {
		nodes, err := c.try(t, "get", "nodes", "--no-headers")
		return err == nil && strings.Contains(nodes, "NotReady"), nodes
	})
	c.requireDenied(t, "pod-privileged", pod("shop", "offline", true))
	c.requireAdmitted(t, pod("shop", "offline", false))
	// A network plugin runs as a privileged Pod in an exempt namespace.
	c.requireAdmitted(t, pod("kube-system", "network", true), dryRun)
	c.write(t, node, "cni/10-routes.conflist", string(content))
	c.becomesWhole(t)
	c.becomes(t, "a running Pod", func() (bool, string) { return c.podsRun(t, "shop") })
	c.kubectl(t, "--namespace", "shop", "delete", "pod", "offline")
}

// restartServer makes the kubelet stop the server's static Pod and start it again.
func (c *cluster) restartServer(t *testing.T, node string) {
	t.Helper()
	c.on(t, node, "mv", manifestOnNode, "/etc/kubernetes/kube-apiserver.yaml.away")
	c.becomes(t, "ended", func() (bool, string) {
		_, err := command(t, "docker", "exec", node, "pgrep", "-x", "kube-apiserver")
		return err != nil, "it runs"
	})
	c.on(t, node, "mv", "/etc/kubernetes/kube-apiserver.yaml.away", manifestOnNode)
	c.becomesServed(t, node)
}

func staticPodRestart(t *testing.T, c *cluster) {
	h := c.startHammer(t)
	c.restartServer(t, c.nodes[0])
	h.requireRefused(t)
}

func containerKilled(t *testing.T, c *cluster) {
	node := c.nodes[0]
	h := c.startHammer(t)
	before := c.on(t, node, "pgrep", "-x", "kube-apiserver")
	c.on(t, node, "pkill", "-KILL", "-x", "kube-apiserver")
	c.becomes(t, "another process", func() (bool, string) {
		now, err := command(t, "docker", "exec", node, "pgrep", "-x", "kube-apiserver")
		return err == nil && now != before, now
	})
	c.becomesServed(t, node)
	h.requireRefused(t)
}

func nodeRestart(t *testing.T, c *cluster) {
	h := c.startHammer(t)
	must(t, "docker", "restart", c.nodes[0])
	c.becomesServed(t, c.nodes[0])
	h.requireRefused(t)
	c.route(t)
	c.becomesWhole(t)
}
