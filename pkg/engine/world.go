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

// world is what an instance sees of time and chance.
//
// What a start function draws is frozen into the snapshot that all evaluations
// start from: hash keys in Rust, seeds and clocks in Go. So start functions get
// what is the same on every machine, derived from the module: replicas then
// agree in their answers and in the fuel that these cost. Evaluations get the
// real thing.
type world struct {
	random io.Reader
	live   bool
	asked  bool
}

// The clocks that start functions see: some time in the past that is not zero,
// which Go's runtime takes for an error.
const (
	startSeconds     = 1_700_000_000
	startNanoseconds = 1_000_000
)

func newWorld(seed [sha256.Size]byte) *world {
	return &world{random: mathrand.NewChaCha8(seed)}
}

// goLive ends the time of start functions.
func (w *world) goLive() { w.random, w.live = rand.Reader, true }

// draw fills p with randomness. Neither source can fail: see crypto/rand.Read.
func (w *world) draw(p []byte) {
	w.asked = true
	_, _ = w.random.Read(p)
}

// configure gives a module the world's clocks. A guest that does nothing but look
// at them is stopped there: look is called each time.
func (w *world) configure(config wazero.ModuleConfig, look func()) wazero.ModuleConfig {
	return config.
		WithWalltime(func() (int64, int32) {
			look()
			w.asked = true
			if !w.live {
				return startSeconds, 0
			}
			now := time.Now()
			return now.Unix(), int32(now.Nanosecond())
		}, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 {
			look()
			w.asked = true
			if !w.live {
				return startNanoseconds
			}
			return startNanoseconds + int64(time.Since(processStart))
		}, sys.ClockResolution(1))
}

var processStart = time.Now()
