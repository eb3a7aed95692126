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

package chaos

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/chaos/hammer"
)

const (
	// writers is the number of concurrent writers, and pace is the time that each waits between two
	// writes.
	writers, pace = 4, 5 * time.Millisecond
	// leastAttempts is the number of violating writes that must be answered, and leastFaults the
	// number of faults that must be survived, for the test to be meaningful.
	leastAttempts, leastFaults = 10_000, 8
)

var enabled = flag.Bool("chaos", false, "run the chaos test, which takes minutes and mounts file systems")

// faults are the faults, in the order in which they happen.
var faults = []hammer.Fault[*cluster]{
	{Name: "apiserver killed during a reload", Run: killDuringReload},
	{Name: "etcd stopped and restarted", Run: etcdGone},
	{Name: "registry gone at start", Run: registryGone},
	{Name: "disk full", Run: diskFull},
	{Name: "state directory read-only", Run: stateReadOnly},
	{Name: "state corrupt", Run: stateCorrupt},
	{Name: "policies that always trap", Run: alwaysTrap},
	{Name: "clock jumps", Run: clockJumps},
	{Name: "modules replaced on disk", Run: modulesReplaced},
	{Name: "policy directory broken", Run: directoryBroken},
}

func TestChaos(t *testing.T) {
	if !*enabled {
		t.Skip("takes minutes: run make chaos")
	}
	c := newCluster(t)
	c.start(t, configuration{off: true})
	require.NoError(t, hammer.Prove(t.Context(), c.server.Dynamic()))
	c.start(t, configuration{})

	stop := c.hammer.Start(writers)
	survived := hammer.Survive(t, c, c.hammer, faults, c.requireUnharmed)
	c.hammer.WaitFor(leastAttempts)
	stop()

	c.hammer.Conclude(t, hammer.Conclusion{
		Prefix: "chaos_", UnenforcedFigure: "unenforced_writes", SurvivedFigure: "faults_survived",
		Unenforced: c.unenforced(t), Survived: survived, LeastAnswered: leastAttempts,
		LeastSurvived: leastFaults,
	})
	require.NoError(t, c.server.Stop())
}

// requireUnharmed checks what must hold after each fault: no violating object is stored, and the
// server does not deny everything.
func (c *cluster) requireUnharmed(t *testing.T) {
	require.Zero(t, c.unenforced(t), "violating writes were admitted")
	c.requireControl(t)
	c.hammer.RequireDenials(t)
}
