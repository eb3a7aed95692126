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
	"testing"
)

// nodeUnplugged takes a node off the network while its writers' requests are in flight.
func nodeUnplugged(t *testing.T, c *cluster) {
	n := c.nodes[0]
	n.unplug(t)
	c.waitUnanswered(t)
	c.requireAllowed(t, c.others(n)...)
	c.hammer.RequireDenials(t)
	n.plug(t)
	c.requireReady(t, n)
	n.requireDenied(t)
}

// minority cuts a node off from the other nodes, but not from the writers. The node cannot store
// anything, but still denies violating writes.
func minority(t *testing.T, c *cluster) {
	n := c.nodes[2]
	n.cut(t, c.others(n), heard, said)
	c.requireNoQuorum(t, n)
	n.requireDeniedWithoutStore(t)
	c.requireAllowed(t, c.others(n)...)
	n.heal(t)
	c.requireReady(t, n)
}

// oneWay cuts the etcd leader off in one direction: first it cannot receive from the others, and
// then it cannot send to them.
func oneWay(t *testing.T, c *cluster) {
	for _, d := range []direction{heard, said} {
		n := c.leader(t, c.nodes[:]...)
		t.Logf("leader %s: no %s", n.name, d)
		n.cut(t, c.others(n), d)
		c.requireNoQuorum(t, n)
		n.requireDeniedWithoutStore(t)
		c.requireAllowed(t, c.others(n)...)
		n.heal(t)
		c.requireReady(t, c.nodes[:]...)
		c.requireAllowed(t, n)
	}
}

// allApart cuts all nodes off from each other. Nothing can be written, and once the nodes are
// connected again, nothing violating was stored.
func allApart(t *testing.T, c *cluster) {
	for _, n := range c.nodes {
		n.cut(t, c.others(n), heard, said)
	}
	c.requireNoQuorum(t, c.nodes[:]...)
	for _, n := range c.nodes {
		n.requireDeniedWithoutStore(t)
	}
	for _, n := range c.nodes {
		n.heal(t)
	}
	c.requireReady(t, c.nodes[:]...)
}

// rolledBackApart rolls a change back while one node is cut off. Which policies a node serves
// depends only on its own files.
func rolledBackApart(t *testing.T, c *cluster) {
	n := c.nodes[0]
	c.change(t, "v2", c.nodes[:]...)
	n.cut(t, c.others(n), heard, said)
	c.change(t, "v1", c.others(n)...)
	c.requireAllowed(t, c.others(n)...)
	n.requireDeniedWithoutStore(t)
	c.watcher.requireLasting(t)
	n.heal(t)
	c.requireVersion(t, "v2", n)
	c.change(t, "v1", n)
}
