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
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	// writers is how many write at the same time.
	writers = 4
	// leastAttempts is how many violating writes have to be answered, and leastFaults how
	// many faults survived, for the test to mean something.
	leastAttempts, leastFaults = 10_000, 8
)

var enabled = flag.Bool("chaos", false, "run the test, which takes minutes and mounts file systems")

// fault is something that goes wrong.
type fault struct {
	name string
	// run has it happen, checks that the server deals with it as it should and says so,
	// and leaves a server that runs. The server may be stopped, or misconfigured, before.
	run func(*testing.T, *cluster)
}

// faults happen one after another.
var faults = []fault{
	{"apiserver killed during a reload", killDuringReload},
	{"etcd gone and back", etcdGone},
	{"registry gone at the start", registryGone},
	{"disk full", diskFull},
	{"state directory read-only", stateReadOnly},
	{"state corrupt", stateCorrupt},
	{"policies that always trap", alwaysTrap},
	{"clock jumps", clockJumps},
	{"modules replaced on disk", modulesReplaced},
	{"policy directory broken", directoryBroken},
}

func TestChaos(t *testing.T) {
	if !*enabled {
		t.Skip("takes minutes: run make chaos")
	}
	c := newCluster(t)
	c.start(t, configuration{off: true})
	c.proveViolations(t)
	c.start(t, configuration{})

	stop := make(chan struct{})
	var group sync.WaitGroup
	for n := range writers {
		group.Go(func() { c.hammer.run(n, stop) })
	}
	survived := 0
	for _, f := range faults {
		before, began := c.hammer.attempts.Load(), time.Now()
		t.Run(f.name, func(t *testing.T) {
			c.survive(t, f)
			survived++ // neither failed nor skipped
		})
		t.Logf("%s: %s, %d violating writes; in all %s", f.name, time.Since(began).Round(time.Second), c.hammer.attempts.Load()-before, &c.hammer)
	}
	c.hammer.waitFor(leastAttempts)
	close(stop)
	group.Wait()

	unenforced := c.unenforced(t)
	figure.Print("chaos_writes_attempted", float64(c.hammer.attempts.Load()), "writes")
	figure.Print("chaos_writes_denied", float64(c.hammer.denied.Load()), "writes")
	figure.Print("unenforced_writes", float64(unenforced), "writes")
	figure.Print("faults_survived", float64(survived), "faults")
	assert.Zero(t, unenforced)
	assert.GreaterOrEqual(t, c.hammer.answered(), int64(leastAttempts))
	assert.GreaterOrEqual(t, survived, leastFaults)
	require.NoError(t, c.server.Stop())
}

// survive has a fault happen, and checks what has to be true after each: nothing
// violating is stored, and the server does not just refuse everything.
func (c *cluster) survive(t *testing.T, f fault) {
	f.run(t, c)
	require.Zero(t, c.unenforced(t), "violating writes got in")
	c.requireControl(t)
	c.requireDenials(t)
}
