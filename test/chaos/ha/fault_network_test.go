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

// nodeUnplugged takes a node off the network, with its writers' requests on their way.
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

// minority has a node hear and be heard by none of the others, but by writers. It stores
// nothing, and denies all the same.
func minority(t *testing.T, c *cluster) {
	n := c.nodes[2]
	n.cut(t, c.others(n), heard, said)
	c.requireNoQuorum(t, n)
	n.requireDeniedWithoutStore(t)
	c.requireAllowed(t, c.others(n)...)
	n.heal(t)
	c.requireReady(t, n)
}

// oneWay has the etcd that leads be deaf to the others, which hear it; and then the other
// way around.
func oneWay(t *testing.T, c *cluster) {
	for _, d := range []direction{heard, said} {
		n := c.leader(t, c.nodes[:]...)
		t.Logf("%s, which leads: no %s", n.name, d)
		n.cut(t, c.others(n), d)
		c.requireNoQuorum(t, n)
		n.requireDeniedWithoutStore(t)
		c.requireAllowed(t, c.others(n)...)
		n.heal(t)
		c.requireReady(t, c.nodes[:]...)
		c.requireAllowed(t, n)
	}
}

// allApart cuts all nodes off from each other: nothing can be written at all, and nothing
// violating is when they find each other again.
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

// rolledBackApart takes a change back while one node is cut off: what it serves depends on
// its own files alone.
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
