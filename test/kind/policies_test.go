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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// policyCase is something that users do on a cluster with one node. In the namespace shop,
// pod-privileged is enforced.
type policyCase struct {
	name string
	run  func(*testing.T, *cluster)
}

var policyCases = []policyCase{
	{"DenyNamesThePolicy", func(t *testing.T, c *cluster) {
		c.requireDenied(t, "pod-privileged", pod("shop", "denied", true))
		c.requireAdmitted(t, pod("shop", "admitted", false), dryRun)
	}},
	{"DenyAnUpdate", denyAnUpdate},
	{"DenyWhatControllersMake", denyWhatControllersMake},
	{"Mutate", mutate},
	{"ContextFromNamespaces", contextFromNamespaces},
	{"Group", group},
	{"Monitor", monitor},
	{"ReloadByEditingTheDirectory", reload},
	{"NamespaceSelector", namespaceSelector},
	{"KubectlDebug", kubectlDebug},
	{"Exec", execInto},
	{"KubeSystemIsExempt", kubeSystemIsExempt},
	{"NodesGoOnUnderAPolicyThatRefusesEverything", nodesGoOn},
	{"BreakGlass", breakGlass},
	{"BadChangeKeepsTheLastGoodSet", badChange},
	{"DeletedModule", deletedModule},
	{"SystemPodsRun", func(t *testing.T, c *cluster) { c.becomesWhole(t) }},
}

func denyAnUpdate(t *testing.T, c *cluster) {
	p := about("no-latest", "no-latest-tag")
	p.groups, p.resources, p.operations = `apps`, "deployments", "CREATE, UPDATE"
	c.with(t, p)
	c.kubectl(t, "--namespace", "shop", "create", "deployment", "updated", "--image",
		"example.com/shell:v1", "--replicas", "0")
	output, err := c.try(t, "--namespace", "shop", "set", "image", "deployment/updated",
		"*=example.com/shell:latest")
	require.Error(t, err)
	require.Contains(t, output, denied("no-latest"))
	c.kubectl(t, "--namespace", "shop", "set", "image", "deployment/updated",
		"*=example.com/shell:v2")
	c.kubectl(t, "--namespace", "shop", "delete", "deployment", "updated")
}

// denyWhatControllersMake checks a rule for Pods that the ReplicaSet of a Deployment creates. The
// server admits the Deployment, and events report that the Pods were denied.
func denyWhatControllersMake(t *testing.T, c *cluster) {
	p := about("registries", "image-pattern", "settings: {images: ['elsewhere/.+']}")
	c.with(t, p)
	c.kubectl(t, "--namespace", "shop", "create", "deployment", "made", "--image",
		"example.com/shell:v1")
	c.becomes(t, "in the events", func() (bool, string) {
		events, err := c.try(t, "--namespace", "shop", "get", "events")
		return err == nil && strings.Contains(events, denied("registries")), events
	})
	c.kubectl(t, "--namespace", "shop", "delete", "deployment", "made")
}

func mutate(t *testing.T, c *cluster) {
	p := about("tolerations", "default-tolerations",
		`settings: {tolerations: [{key: example.com/pool, value: shop, effect: NoSchedule}]}`)
	p.mutating = true
	c.with(t, p)
	output := c.requireAdmitted(t, pod("shop", "mutated", false), "--output",
		"jsonpath={.spec.tolerations[*].key}")
	require.Contains(t, output, "example.com/pool")
	c.becomes(t, "a running Pod", func() (bool, string) { return c.podsRun(t, "shop") })
	c.kubectl(t, "--namespace", "shop", "delete", "pod", "mutated")
}

func contextFromNamespaces(t *testing.T, c *cluster) {
	p := about("label-from-namespace", "label-from-namespace", "settings: {label: owner}",
		"contextAwareResources: [{apiVersion: v1, kind: Namespace}]")
	p.mutating = true
	c.with(t, p)
	output, err := c.apply(t, pod("shop", "labelled", false), dryRun)
	require.Error(t, err, "no role allows policies to read: %s", output)
	c.kubectl(t, "create", "clusterrolebinding", "wasm-admission-view", "--clusterrole", "view",
		"--user", "system:wasm-admission")
	t.Cleanup(func() { c.kubectl(t, "delete", "clusterrolebinding", "wasm-admission-view") })
	c.becomes(t, "labelled", func() (bool, string) {
		output, err := c.apply(t, pod("shop", "labelled", false), dryRun, "--output",
			"jsonpath={.metadata.labels.owner}")
		return err == nil && output == "till", output
	})
	c.requireDenied(t, "label-from-namespace", pod("default", "orphan", false), dryRun)
}

func group(t *testing.T, c *cluster) {
	node := c.nodes[0]
	manifest := fmt.Sprintf(`apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicyGroup
metadata: {name: either}
spec:
  expression: "tagged() || ours()"
  message: images are tagged or ours
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
  policies:
    tagged: {module: %q}
    ours: {module: %q, settings: {images: ['ours/.+']}}
`, location("no-latest-tag"), location("image-pattern"))
	file := "wasm-admission/policies.d/group.yaml"
	c.change(t, node, func() { c.write(t, node, file, manifest) })
	defer c.change(t, node, func() { require.NoError(t, os.Remove(c.path(node, file))) })
	of := func(image string) string {
		return strings.ReplaceAll(pod("shop", "grouped", false), "example.com/shell:v1", image)
	}
	c.requireAdmitted(t, of("elsewhere/any:v1"), dryRun)
	c.requireAdmitted(t, of("ours/any:latest"), dryRun)
	output, err := c.apply(t, of("elsewhere/any:latest"), dryRun)
	require.Error(t, err, output)
	require.Contains(t, output, "images are tagged or ours")
}

func monitor(t *testing.T, c *cluster) {
	p := about("watched", "deny")
	p.mode = "monitor"
	c.with(t, p)
	c.requireAdmitted(t, pod("shop", "watched", false), dryRun)
	found := false
	for line := range strings.SplitSeq(c.kubectl(t, "get", "--raw", "/metrics"), "\n") {
		found = found ||
			strings.HasPrefix(line, "apiserver_wasm_admission_evaluation_duration_seconds_count") &&
				strings.Contains(line,
					`outcome="denied",policy="clusterwide-watched",rejected="false"`)
	}
	require.True(t, found, "the metrics count requests that would have been denied")
}

// reload changes a manifest twice, and then removes it.
func reload(t *testing.T, c *cluster) {
	node := c.nodes[0]
	edit := func(images string) policy {
		return about("edited", "image-pattern", "settings: {images: ['"+images+"']}")
	}
	file := edit("").file()
	c.change(t, node, func() { c.write(t, node, file, edit("example.com/.+").String()) })
	c.requireAdmitted(t, pod("shop", "edited", false), dryRun)
	c.change(t, node, func() { c.write(t, node, file, edit("elsewhere/.+").String()) })
	c.requireDenied(t, "edited", pod("shop", "edited", false), dryRun)
	c.change(t, node, func() { require.NoError(t, os.Remove(c.path(node, file))) })
	c.requireAdmitted(t, pod("shop", "edited", false), dryRun)
}

func namespaceSelector(t *testing.T, c *cluster) {
	c.with(t, about("strict", "deny", "namespaceSelector: {matchLabels: {owner: till}}"))
	c.requireDenied(t, "strict", pod("shop", "selected", false), dryRun)
	c.requireAdmitted(t, pod("default", "unselected", false), dryRun)
}

// runningPod creates a Pod that runs until the case ends.
func (c *cluster) runningPod(t *testing.T, name string) {
	t.Helper()
	c.requireAdmitted(t, pod("shop", name, false))
	t.Cleanup(func() { c.kubectl(t, "--namespace", "shop", "delete", "pod", name) })
	c.becomes(t, "a running Pod", func() (bool, string) { return c.podsRun(t, "shop") })
}

func kubectlDebug(t *testing.T, c *cluster) {
	c.runningPod(t, "debugged")
	p := about("ephemeral", "pod-privileged")
	p.resources, p.operations = "pods/ephemeralcontainers", "UPDATE"
	c.with(t, p)
	debug := func(profile string) (string, error) {
		return c.try(t, "--namespace", "shop", "debug", "debugged", "--image",
			"example.com/shell:v1", "--image-pull-policy", "Never",
			"--profile", profile, "--container", "debugger-"+profile, "--target", "main",
			"--attach=false")
	}
	output, err := debug("sysadmin")
	require.Error(t, err, output)
	require.Contains(t, output, denied("ephemeral"))
	output, err = debug("general")
	require.NoError(t, err, output)
	require.Equal(t, "debugger-general",
		c.kubectl(t, "--namespace", "shop", "get", "pod", "debugged",
			"--output", "jsonpath={.spec.ephemeralContainers[*].name}"))
}

func execInto(t *testing.T, c *cluster) {
	c.runningPod(t, "entered")
	p := about("no-exec", "deny")
	p.resources, p.operations = "pods/exec, pods/attach", "CONNECT"
	enter := func() (string, error) {
		return c.try(t, "--namespace", "shop", "exec", "entered", "--", "echo", "inside")
	}
	t.Run("Refused", func(t *testing.T) {
		c.with(t, p)
		output, err := enter()
		require.Error(t, err)
		require.Contains(t, output, denied("no-exec"))
	})
	output, err := enter()
	require.NoError(t, err, output)
	require.Equal(t, "inside\n", output)
}

// everything is a policy that denies every request.
var everything = policy{
	name:       "nothing",
	module:     "deny",
	groups:     `"*"`,
	resources:  `"*/*"`,
	operations: `"*"`,
}

// kubeSystemIsExempt recreates the cluster's own Pods, whose namespace is exempt.
func kubeSystemIsExempt(t *testing.T, c *cluster) {
	c.with(t, everything)
	c.requireDenied(t, "nothing", pod("shop", "any", false))
	for _, name := range []string{"k8s-app=kube-proxy", "k8s-app=kube-dns"} {
		c.kubectl(t, "--namespace", "kube-system", "delete", "pods", "--selector", name)
	}
	c.becomesWhole(t)
}

// nodesGoOn checks that the kubelet keeps renewing its Lease and the node stays ready, for longer
// than the grace period of a node.
func nodesGoOn(t *testing.T, c *cluster) {
	c.with(t, everything)
	renewed := func() string {
		return c.kubectl(t, "--namespace", "kube-node-lease", "get", "lease", c.nodes[0],
			"--output", "jsonpath={.spec.renewTime}")
	}
	for range 3 {
		before := renewed()
		c.becomes(t, "renewed", func() (bool, string) {
			now := renewed()
			return now != before, now
		})
	}
	c.becomesWhole(t)
}

func breakGlass(t *testing.T, c *cluster) {
	node := c.nodes[0]
	c.write(t, node, "wasm-admission/break-glass.yaml",
		fmt.Sprintf(`apiVersion: wasm.admission.config.k8s.io/v1alpha1
kind: BreakGlass
until: %s
policies: [clusterwide-pod-privileged]
reason: a privileged pod has to run
`, inAnHour()))
	c.becomes(t, "let through", func() (bool, string) {
		output, err := c.apply(t, pod("shop", "broken", true), dryRun)
		return err == nil, output
	})
	require.NoError(t, os.Remove(c.path(node, "wasm-admission/break-glass.yaml")))
	c.becomes(t, "enforced", func() (bool, string) {
		output, err := c.apply(t, pod("shop", "broken", true), dryRun)
		return err != nil && strings.Contains(output, denied("pod-privileged")), output
	})
}

// requireBad waits until the server reports that it does not serve the configured set. It must keep
// serving the previous set.
func (c *cluster) requireBad(t *testing.T, reason string) {
	t.Helper()
	c.becomes(t, "bad", func() (bool, string) {
		output, err := c.try(t, "get", "--raw", "/readyz/wasm-admission-policies")
		return err != nil && strings.Contains(output, reason), output
	})
	require.Equal(t, "ok", c.kubectl(t, "get", "--raw", "/readyz"))
	c.requireDenied(t, "pod-privileged", pod("shop", "bad", true))
}

func (c *cluster) becomesGood(t *testing.T) {
	t.Helper()
	c.becomes(t, "good", func() (bool, string) {
		output, err := c.try(t, "get", "--raw", "/readyz/wasm-admission-policies")
		return err == nil && output == "ok", output
	})
}

func badChange(t *testing.T, c *cluster) {
	node, file := c.nodes[0], "wasm-admission/policies.d/bad.yaml"
	c.write(t, node, file, about("bad", "image-pattern", "settings: {images: ['(']}").String())
	c.requireBad(t, "images")
	// A server that starts with the bad policy does not serve it either. It has the last good set
	// on disk.
	c.restartServer(t, node)
	c.requireBad(t, "images")
	require.NoError(t, os.Remove(c.path(node, file)))
	c.becomesGood(t)
}

// deletedModule deletes the module of a policy.
func deletedModule(t *testing.T, c *cluster) {
	node := c.nodes[0]
	module := c.path(node, "wasm-admission/modules/pod-privileged.wasm")
	content, err := os.ReadFile(module)
	require.NoError(t, err)
	require.NoError(t, os.Remove(module))
	c.requireBad(t, "pod-privileged")
	c.restartServer(t, node)
	c.requireBad(t, "pod-privileged")
	c.write(t, node, "wasm-admission/modules/pod-privileged.wasm", string(content))
	c.becomesGood(t)
	c.requireDenied(t, "pod-privileged", pod("shop", "mended", true))
}
