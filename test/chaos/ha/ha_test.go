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
	// writers is the number of concurrent writers, and pace is the time that each waits between two
	// writes.
	writers, pace = 20, 40 * time.Millisecond
	// leastAttempts is the number of violating writes that must be answered, and leastFaults the
	// number of faults that must be survived, for the test to be meaningful.
	leastAttempts, leastFaults = 20_000, 8
)

var enabled = flag.Bool("chaos-ha", false,
	"run the test, which takes minutes and needs root to create namespaces")

// faults are the faults, in the order in which they happen.
var faults = []hammer.Fault[*cluster]{
	{Name: "servers killed, one after another", Run: serversKilled},
	{Name: "all servers killed", Run: allServersKilled},
	{Name: "servers stopped gracefully, one after another", Run: serversStopped},
	{Name: "etcd killed", Run: etcdKilled},
	{Name: "etcd leader frozen", Run: leaderFrozen},
	{Name: "node unplugged", Run: nodeUnplugged},
	{Name: "servers killed during a rolling change", Run: rollingChange},
	{Name: "policies changed back and forth", Run: changedToAndFro},
	{Name: "minority", Run: minority},
	{Name: "one-way partition", Run: oneWay},
	{Name: "all nodes cut off from each other", Run: allApart},
	{Name: "bad change on one server", Run: badChange},
	{Name: "module gone on one server", Run: moduleGone},
	{Name: "server frozen during a change", Run: serverFrozen},
	{Name: "change rolled back during a partition", Run: rolledBackApart},
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
	assert.Equal(t, long, shown, "status must show lasting skew")
	for _, n := range c.nodes {
		assert.NoError(t, n.server.Stop(), n.name)
	}
}

// prove makes the first server enforce nothing. It checks that each violating write is then stored,
// and that every server shows it.
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
