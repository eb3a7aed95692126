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
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bridge is the link that connects the nodes, in the writers' namespace.
const bridge = "ha"

// run runs a command, which must succeed.
func run(t *testing.T, input string, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(input)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%q: %s", command, output)
}

// ip runs the ip command.
func ip(t *testing.T, arguments ...string) {
	t.Helper()
	run(t, "", append([]string{"ip"}, arguments...)...)
}

// connect creates the bridge and a network namespace for each node.
func (c *cluster) connect(t *testing.T) {
	ip(t, "link", "set", "lo", "up")
	ip(t, "link", "add", bridge, "type", "bridge")
	ip(t, "address", "add", address(254)+"/24", "dev", bridge)
	ip(t, "link", "set", bridge, "up")
	for _, n := range c.nodes {
		ip(t, "netns", "add", n.name)
		ip(t, "link", "add", n.name, "type", "veth", "peer", "name", "eth0", "netns", n.name)
		ip(t, "link", "set", n.name, "master", bridge, "up")
		ip(t, "-n", n.name, "address", "add", n.address+"/24", "dev", "eth0")
		ip(t, "-n", n.name, "link", "set", "lo", "up")
		ip(t, "-n", n.name, "link", "set", "eth0", "up")
	}
}

func address(host int) string { return fmt.Sprintf("10.99.0.%d", host) }

// unplug disconnects a node from the bridge, so that neither nodes nor writers reach it.
func (n *node) unplug(t *testing.T) { ip(t, "link", "set", n.name, "down") }

func (n *node) plug(t *testing.T) { ip(t, "link", "set", n.name, "up") }

// direction is a hook of the packet filter.
type direction string

const (
	heard direction = "input"
	said  direction = "output"
)

// cut drops packets that a node receives from others, or sends to them. Writers still reach the
// node.
func (n *node) cut(t *testing.T, others []*node, directions ...direction) {
	t.Helper()
	rules := "table inet cut {\n"
	for _, d := range directions {
		field := map[direction]string{heard: "saddr", said: "daddr"}[d]
		rules += fmt.Sprintf("chain %s { type filter hook %s priority 0;\n", d, d)
		for _, other := range others {
			rules += fmt.Sprintf("ip %s %s drop\n", field, other.address)
		}
		rules += "}\n"
	}
	nft(t, n, rules+"}\n")
}

// heal stops dropping packets.
func (n *node) heal(t *testing.T) { nft(t, n, "flush ruleset\n") }

// nft applies packet filter rules on a node. The program is the one on PATH, or the one that `make
// nft` unpacks.
func nft(t *testing.T, n *node, rules string) {
	t.Helper()
	command := []string{"ip", "netns", "exec", n.name}
	if _, err := exec.LookPath("nft"); err == nil {
		command = append(command, "nft")
	} else {
		unpacked, err := filepath.Abs("../../../.cache/nft")
		require.NoError(t, err)
		_, err = os.Stat(unpacked + "/usr/sbin/nft")
		require.NoError(t, err, "nft is missing: run `make nft`")
		libraries, err := filepath.Glob(unpacked + "/usr/lib/*-linux-gnu")
		require.NoError(t, err)
		command = append(command, "env", "LD_LIBRARY_PATH="+strings.Join(libraries, ":"),
			unpacked+"/usr/sbin/nft")
	}
	run(t, rules, append(command, "-f", "-")...)
}
