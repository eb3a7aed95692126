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
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

const (
	// writers is how many write at the same time, and pace how long each waits after one.
	writers, pace = 20, 40 * time.Millisecond
	// leastAttempts is how many violating writes have to be answered, and leastFaults how
	// many faults survived, for the test to mean something.
	leastAttempts, leastFaults = 20_000, 8
)

var enabled = flag.Bool("chaos-ha", false,
	"run the test, which takes minutes and makes namespaces as root")

// faults happen one after another.
var faults = []hammer.Fault[*cluster]{
	{Name: "servers killed, one after another", Run: serversKilled},
	{Name: "all servers killed", Run: allServersKilled},
	{Name: "servers stopped with care, one after another", Run: serversStopped},
	{Name: "etcd killed", Run: etcdKilled},
	{Name: "etcd leader frozen", Run: leaderFrozen},
	{Name: "node unplugged", Run: nodeUnplugged},
	{Name: "rolling change, and servers killed in it", Run: rollingChange},
	{Name: "policies changed to and fro", Run: changedToAndFro},
	{Name: "minority", Run: minority},
	{Name: "one-way partition", Run: oneWay},
	{Name: "nobody hears anybody", Run: allApart},
	{Name: "bad change on one server", Run: badChange},
	{Name: "module gone on one server", Run: moduleGone},
	{Name: "server frozen through a change", Run: serverFrozen},
	{Name: "change rolled back through a partition", Run: rolledBackApart},
	{Name: "clocks off by an hour", Run: clocksOff},
}

func TestHighAvailability(t *testing.T) {
	if !*enabled {
		t.Skip("takes minutes and needs root: run make chaos-ha")
	}
	if os.Getenv(isolated) == "" {
		isolate(t)
		return
	}
	settle(t)
	defer keepLogs(t)
	c := newCluster(t)
	c.prove(t)
	c.restart(t, c.nodes[:]...)
	c.requireVersion(t, "v1", c.nodes[:]...)

	defer c.watcher.start()()
	stop := c.hammer.Start(writers)
	defer stop()
	survived := hammer.Survive(t, c, c.hammer, faults, func(t *testing.T) {
		c.requireUnharmed(t)
		c.watcher.requireClear(t)
	})
	c.hammer.WaitFor(leastAttempts)
	stop()

	c.hammer.Conclude(t, hammer.Conclusion{
		Prefix: "ha_", UnenforcedFigure: "ha_unenforced_writes", SurvivedFigure: "ha_faults",
		Unenforced: c.unenforced(t), Survived: survived, LeastAnswered: leastAttempts,
		LeastSurvived: leastFaults,
	})
	windows, long, shown := c.watcher.judge(t)
	figure.Print("ha_skew_windows", float64(windows), "windows")
	figure.Print("ha_skew_windows_longer_than_two_renewals", float64(long), "windows")
	figure.Print("ha_skew_windows_longer_than_two_renewals_shown", float64(shown), "windows")
	assert.NotZero(t, long)
	assert.Equal(t, long, shown, "status shows skew that lasts")
	for _, n := range c.nodes {
		assert.NoError(t, n.server.Stop(), n.name)
	}
}

// prove has the first server enforce nothing, so that each violating write is seen to be
// stored, and to be found by every server then.
func (c *cluster) prove(t *testing.T) {
	for _, n := range c.nodes {
		n.startServer(t, true)
	}
	c.requireReady(t, c.nodes[:]...)
	require.NoError(t, hammer.Prove(t.Context(), c.nodes[0].dynamic))
	for _, n := range c.nodes {
		require.NoError(t, n.server.Stop(), n.name)
	}
}
