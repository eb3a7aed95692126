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
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/status"
	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// rollingChange changes servers to another version one by one, and kills servers while the versions
// differ: one that has changed, and one that gets the change when it restarts.
func rollingChange(t *testing.T, c *cluster) {
	first, second, third := c.nodes[0], c.nodes[1], c.nodes[2]
	c.change(t, "v2", first)
	c.requireVersion(t, "v1", second, third)
	c.requireUnharmed(t)
	first.server.Kill9()
	c.restart(t, first)
	c.requireVersion(t, "v2", first)

	second.server.Kill9()
	second.choose(t, "v2")
	c.restart(t, second)
	c.requireVersion(t, "v2", second)
	c.requireVersion(t, "v1", third)
	c.requireUnharmed(t)
	c.change(t, "v2", third)
}

// changedToAndFro switches all servers between the sets again and again. Each change renames a
// policy. At every moment, either the old or the new policy must be enforced.
func changedToAndFro(t *testing.T, c *cluster) {
	version, err := c.nodes[0].serves(t.Context())
	require.NoError(t, err)
	for range 20 {
		version = other(version)
		for _, n := range c.nodes {
			n.choose(t, version)
		}
		c.requireVersion(t, version, c.nodes[:]...)
	}
}

// requireRefused waits until a server reports why it does not serve the configured policies. It
// must keep serving a version.
func (c *cluster) requireRefused(t *testing.T, n *node, version, reason string) {
	t.Helper()
	hammer.Eventually(t, n.name+" refuses the change", func() error {
		err := n.get(t, "/readyz/wasm-admission-policies")
		if err == nil || !strings.Contains(err.Error(), reason) {
			return fmt.Errorf("it reports: %w", err)
		}
		return nil
	})
	c.requireVersion(t, version, n)
	n.requireDenied(t)
}

// badChange gives one server policies that cannot be loaded. The server keeps its previous
// policies, and reports the failure.
func badChange(t *testing.T, c *cluster) {
	n := c.nodes[0]
	version, err := n.serves(t.Context())
	require.NoError(t, err)
	for bad, reason := range map[string]string{
		"not-yaml":  "policies.yaml",
		"too-few":   "minimumPolicies",
		"no-module": "missing.wasm",
	} {
		n.choose(t, bad)
		c.requireRefused(t, n, version, reason)
		c.watcher.requireState(t, n, status.StateRefused)
		c.requireUnharmed(t)
	}
	// The server does not restart with the bad policies.
	n.server.Kill9()
	require.NotEmpty(t, n.requireNoStart(t))
	n.choose(t, version)
	c.restart(t, n)
	c.requireVersion(t, version, n)

	// It does restart if it may serve the last good set.
	n.keepLastGood = true
	require.NoError(t, n.server.Stop())
	c.restart(t, n)
	c.requireVersion(t, version, n)
	n.server.Kill9()
	n.choose(t, "not-yaml")
	c.restart(t, n)
	c.requireRefused(t, n, version, "a set that an earlier process kept is served")
	c.requireUnharmed(t)
	n.choose(t, version)
	hammer.Eventually(t, "the change is fixed", func() error {
		return n.get(t, "/readyz/wasm-admission-policies")
	})
	n.keepLastGood = false
	require.NoError(t, n.server.Stop())
	c.restart(t, n)
}

// moduleGone deletes the modules of one server while it runs.
func moduleGone(t *testing.T, c *cluster) {
	n := c.nodes[1]
	version, err := n.serves(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.Rename(n.path("modules"), n.path("modules-away")))
	c.requireRefused(t, n, version, ".wasm")
	c.watcher.requireState(t, n, status.StateRefused)
	c.requireUnharmed(t)
	n.server.Kill9()
	require.Contains(t, n.requireNoStart(t), ".wasm")
	require.NoError(t, os.Rename(n.path("modules-away"), n.path("modules")))
	c.restart(t, n)
	c.requireVersion(t, version, n)
}
