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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/status"
	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

// serversKilled kills each server in turn, while the others continue.
func serversKilled(t *testing.T, c *cluster) {
	for _, n := range c.nodes {
		n.server.Kill9()
		c.requireAllowed(t, c.others(n)...)
		c.hammer.RequireDenials(t)
		c.restart(t, n)
		n.requireDenied(t)
	}
}

// allServersKilled kills all servers, and restarts them at the same time.
func allServersKilled(t *testing.T, c *cluster) {
	for _, n := range c.nodes {
		n.server.Kill9()
	}
	c.restart(t, c.nodes[:]...)
}

// serversStopped gracefully stops each server in turn, while its writers continue, and restarts it.
func serversStopped(t *testing.T, c *cluster) {
	for _, n := range c.nodes {
		require.NoError(t, n.server.Stop())
		c.requireAllowed(t, c.others(n)[0])
		c.restart(t, n)
	}
}

// etcdKilled kills the etcd of one server. The server still denies violating writes, and reports no
// failure of its policies.
func etcdKilled(t *testing.T, c *cluster) {
	n := c.nodes[1]
	n.etcd.Kill9()
	c.requireNoQuorum(t, n)
	n.requireDeniedWithoutStore(t)
	require.NoError(t, n.get(t, "/readyz/wasm-admission-policies"))
	c.requireAllowed(t, c.others(n)...)
	n.startEtcd(t)
	c.requireReady(t, n)
}

// leaderFrozen freezes the etcd leader until another member is elected. When the old leader wakes
// up, it is no longer the leader.
func leaderFrozen(t *testing.T, c *cluster) {
	old := c.leader(t, c.nodes[:]...)
	freeze(t, old.etcd)
	leader := c.leader(t, c.others(old)...)
	t.Logf("%s was the leader, and now %s is", old.name, leader.name)
	c.requireAllowed(t, c.others(old)...)
	old.requireDeniedWithoutStore(t)
	thaw(t, old.etcd)
	c.requireReady(t, c.nodes[:]...)
}

// serverFrozen freezes a server while the policies change on all nodes. It wakes up with old
// requests in progress and with the old policies.
func serverFrozen(t *testing.T, c *cluster) {
	n := c.nodes[1]
	before, err := c.nodes[0].serves(t.Context())
	require.NoError(t, err)
	next := other(before)
	freeze(t, n.server)
	for _, m := range c.nodes {
		m.choose(t, next)
	}
	c.requireVersion(t, next, c.others(n)...)
	c.waitUnanswered(t)
	c.requireAllowed(t, c.others(n)...)
	c.hammer.RequireDenials(t)
	c.watcher.requireState(t, n, status.StateUnknown)
	c.watcher.requireLasting(t)
	thaw(t, n.server)
	n.requireDenied(t)
	c.requireVersion(t, next, n)
}

// waitUnanswered waits until some writers got no response.
func (c *cluster) waitUnanswered(t *testing.T) {
	t.Helper()
	before := c.hammer.Unanswered()
	hammer.Eventually(t, "writers get no response", func() error {
		if missed := c.hammer.Unanswered() - before; missed < 3 {
			return fmt.Errorf("%d writes without a response", missed)
		}
		return nil
	})
}

// clocksOff sets the clock of one server an hour ahead and of another an hour behind, with a build
// whose clock can be shifted. They enforce and change policies like the third server.
func clocksOff(t *testing.T, c *cluster) {
	off := map[*node]time.Duration{c.nodes[1]: time.Hour, c.nodes[2]: -time.Hour}
	for n, offset := range off {
		require.NoError(t, n.server.Stop())
		n.clockOffset = offset
		c.restart(t, n)
		require.InDelta(t, offset.Seconds(), time.Until(n.clock(t)).Seconds(), 600,
			"the clock of %s must be skewed", n.name)
		n.requireDenied(t)
	}
	before, err := c.nodes[0].serves(t.Context())
	require.NoError(t, err)
	for _, version := range []string{other(before), before} {
		c.change(t, version, c.nodes[0])
		c.watcher.requireSkew(t)
		c.watcher.requireLasting(t)
		c.change(t, version, c.nodes[1:]...)
		c.requireUnharmed(t)
		c.watcher.requireClear(t)
	}
	for n := range off {
		n.server.Kill9()
		// To the other servers, its Lease is an hour old, or an hour in the future.
		c.watcher.requireState(t, n, status.StateUnknown)
		n.clockOffset = 0
		c.restart(t, n)
		require.InDelta(t, 0, time.Until(n.clock(t)).Seconds(), 600, "the clock of %s must be correct",
			n.name)
	}
}

// other returns the other version.
func other(version string) string {
	return map[string]string{"v1": "v2", "v2": "v1"}[version]
}
