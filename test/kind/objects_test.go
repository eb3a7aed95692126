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
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// policy is a Kubewarden manifest with one rule.
type policy struct {
	name, module string
	mutating     bool
	// mode is protect if empty.
	mode string
	// more are further fields of the spec, one per line.
	more []string
	// groups, resources and operations are those of the rule, separated by commas.
	groups, resources, operations string
}

// about returns a policy for requests about Pods.
func about(name, module string, more ...string) policy {
	return policy{
		name:       name,
		module:     module,
		more:       more,
		groups:     `""`,
		resources:  "pods",
		operations: "CREATE",
	}
}

func (p policy) String() string {
	mode := "protect"
	if p.mode != "" {
		mode = p.mode
	}
	return fmt.Sprintf(`apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: %s}
spec:
  module: %s
  mutating: %t
  mode: %s
  rules: [{apiGroups: [%s], apiVersions: ["*"], resources: [%s], operations: [%s]}]
  %s
`, p.name, location(p.module), p.mutating, mode, p.groups, p.resources, p.operations, strings.Join(p.more, "\n  "))
}

// pod returns a Pod that does nothing.
func pod(namespace, name string, privileged bool, more ...string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: example.com/shell:v1
    imagePullPolicy: Never
    securityContext: {privileged: %t}
  %s
`, name, namespace, privileged, strings.Join(more, "\n  "))
}

const dryRun = "--dry-run=server"

// with installs policies on every node until the case ends.
func (c *cluster) with(t *testing.T, policies ...policy) {
	t.Helper()
	for _, node := range c.nodes {
		c.change(t, node, func() {
			for _, p := range policies {
				c.write(t, node, p.file(), p.String())
			}
		})
	}
	t.Cleanup(func() {
		for _, node := range c.nodes {
			c.change(t, node, func() {
				for _, p := range policies {
					require.NoError(t, os.Remove(c.path(node, p.file())))
				}
			})
		}
	})
}

// file returns the path of the policy's manifest, below a node's directory.
func (p policy) file() string { return "wasm-admission/policies.d/" + p.name + ".yaml" }

// change changes the policies of a node, and waits until its server serves them.
func (c *cluster) change(t *testing.T, node string, change func()) {
	t.Helper()
	before, _ := c.hashes(t, node)
	change()
	c.becomes(t, "taken over", func() (bool, string) {
		running, desired := c.hashes(t, node)
		return running != before && running == desired, fmt.Sprintf("before %s, running %s, desired %s", before, running, desired)
	})
}

var setInfo = regexp.MustCompile(`policy_set_info{hash="([^"]*)",state="(running|desired)"} 1`)

// hashes returns the hashes of the sets that a server serves and should serve, according to the
// server.
func (c *cluster) hashes(t *testing.T, node string) (running, desired string) {
	t.Helper()
	metrics, err := c.at(t, node, "get", "--raw", "/metrics")
	if err != nil {
		return "", "unknown: " + metrics
	}
	for _, set := range setInfo.FindAllStringSubmatch(metrics, -1) {
		if set[2] == "running" {
			running = set[1]
		} else {
			desired = set[1]
		}
	}
	return running, desired
}

// denied returns the text of a policy's denial.
func denied(name string) string {
	return fmt.Sprintf("WasmAdmission policy \"clusterwide-%s\" denied the request", name)
}

// requireDenied sends an object that a policy must deny.
func (c *cluster) requireDenied(t *testing.T, name, object string, arguments ...string) {
	t.Helper()
	output, err := c.apply(t, object, arguments...)
	require.Error(t, err, output)
	require.Contains(t, output, denied(name))
}

// requireAdmitted sends an object that no policy may deny.
func (c *cluster) requireAdmitted(t *testing.T, object string, arguments ...string) string {
	t.Helper()
	output, err := c.apply(t, object, arguments...)
	require.NoError(t, err, output)
	return output
}
