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

package memory

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheWorldStopsMeanwhile processes memories that are large enough to take a while, and stops
// the world in the middle. It runs again in a process where goroutines stop only at calls, because
// the signals that stop them elsewhere only occasionally hit between two pieces of memory.
func TestTheWorldStopsMeanwhile(t *testing.T) {
	const child, atCallsAlone = "TEST_STOP", "asyncpreemptoff=1"
	if os.Getenv(child) == "" {
		skipEmulated(t, "a way to run this test in a process of its own")
		cmd := exec.Command(os.Args[0], "-test.run=^TestTheWorldStopsMeanwhile$")
		cmd.Env = append(os.Environ(), child+"=1", "GODEBUG="+atCallsAlone)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	runtime.GOMAXPROCS(2)
	const size = 32 << 20
	img := newImage(t, noise(1, size))
	mem := bytes.Repeat([]byte{1}, size)
	s, err := newMapping(size, false)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	require.NoError(t, s.commit(size))
	nothing := func() {}
	for name, c := range map[string]struct{ prepare, work func() }{
		"copy":  {nothing, func() { img.refill(mem, 0, size) }},
		"clear": {func() { img.refill(mem, 0, size) }, func() { clearPages(mem) }},
		"drop": {func() { s.populate(0, size) }, func() {
			require.NoError(t, s.drop(0, size))
		}},
		"populate": {func() { require.NoError(t, s.drop(0, size)) }, func() {
			s.populate(0, size)
		}},
	} {
		t.Run(name, func(t *testing.T) { requireStops(t, c.prepare, c.work) })
	}
}

// requireStops works until the world was stopped often enough meanwhile. The first few stops may
// come before the work begins.
func requireStops(t *testing.T, prepare, work func()) {
	const often = 10
	var (
		working, over atomic.Bool
		stops         atomic.Int32
		group         sync.WaitGroup
	)
	group.Go(func() {
		for !over.Load() {
			if !working.Load() {
				runtime.Gosched()
				continue
			}
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats) // stops the world
			if working.Load() {
				stops.Add(1)
			}
		}
	})
	for range 30 {
		prepare()
		stops.Store(0)
		working.Store(true)
		work()
		working.Store(false)
		if stops.Load() >= often {
			break
		}
	}
	over.Store(true)
	group.Wait()
	require.GreaterOrEqual(t, stops.Load(), int32(often))
}
