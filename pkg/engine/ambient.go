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

package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"io"
	mathrand "math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"
)

// ambient is the time and the randomness that an instance sees.
//
// Evaluations start from a snapshot, which freezes what the guest read before: hash keys in Rust,
// seeds and clocks in Go. Until the snapshot, the guest therefore gets values that are the same on
// every machine: randomness derived from the module, and clocks that advance with each read. All
// replicas then give the same answers and burn the same fuel for them. Evaluations get real values.
type ambient struct {
	random io.Reader
	live   bool
	// asked is set when the guest asks for the date or for randomness. The monotonic clock does not
	// count: it tells only how long the guest has been running.
	asked bool
	// elapsed is that running time in nanoseconds, until the snapshot was taken.
	elapsed int64
}

const (
	// startSeconds is the date before the snapshot, an arbitrary time in the past.
	startSeconds = 1_700_000_000
	// startNanoseconds is where the monotonic clock begins. Go's runtime treats zero as an error.
	startNanoseconds = 1_000_000
	// stepNanoseconds is how far the monotonic clock advances with each read before the snapshot.
	stepNanoseconds = 1_000
)

func newAmbient(seed [sha256.Size]byte) *ambient {
	return &ambient{random: mathrand.NewChaCha8(seed), elapsed: startNanoseconds}
}

// goLive ends the time before the snapshot. The monotonic clock continues from elapsed, plus the
// process's running time.
func (a *ambient) goLive(elapsed int64) { a.random, a.live, a.elapsed = rand.Reader, true, elapsed }

// startOver returns to the time before the snapshot.
func (a *ambient) startOver(seed [sha256.Size]byte, elapsed int64) {
	a.random, a.live, a.elapsed = mathrand.NewChaCha8(seed), false, elapsed
}

// draw fills p with randomness. Neither source can fail: see crypto/rand.Read.
func (a *ambient) draw(p []byte) {
	a.asked = true
	_, _ = a.random.Read(p)
}

func (a *ambient) walltime() (int64, int32) {
	a.asked = true
	if !a.live {
		return startSeconds, 0
	}
	now := time.Now()
	return now.Unix(), int32(now.Nanosecond())
}

func (a *ambient) nanotime() int64 {
	if !a.live {
		a.elapsed += stepNanoseconds
		return a.elapsed
	}
	return a.elapsed + int64(time.Since(processStart))
}

// configure gives a module these clocks. Each read calls checked, so that a guest that does nothing
// but read the clock can be stopped.
func (a *ambient) configure(config wazero.ModuleConfig, checked func()) wazero.ModuleConfig {
	return config.
		WithWalltime(func() (int64, int32) {
			checked()
			return a.walltime()
		}, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 {
			checked()
			return a.nanotime()
		}, sys.ClockResolution(1))
}

var processStart = time.Now()
