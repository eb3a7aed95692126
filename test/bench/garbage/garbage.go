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

// Package garbage keeps the garbage collector of a kube-apiserver out of measurements, and measures
// what the garbage costs.
//
// A collection takes as much processor time as hundreds of requests, serves thousands, and falls
// into the measurement of a few. So the differences between measurements would be those in the
// number of collections. Servers with [Wrapper] collect only when [Heap.Collect] tells them to. The
// price of garbage is then known: if the collector runs at its default pace, it runs once for as
// many bytes of garbage as there are live bytes.
package garbage

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// Wrapper is the command that starts a server whose collector does not run on its own. See
// [harness.Options].
var Wrapper = []string{"env", "GOGC=off"}

// most is the number of bytes of garbage after which a server has to collect it.
const most = 512 << 20

const (
	allocatedBytes  = "go_memstats_alloc_bytes_total"
	allocatedPieces = "go_memstats_mallocs_total"
	liveBytes       = "go_memstats_heap_alloc_bytes"
)

// Heap is the heap of a server, with the cost of its collections. It is not safe for concurrent
// use.
type Heap struct {
	server    *harness.Server
	collected float64 // the allocated bytes at the last collection
	spent     time.Duration
	live      float64 // the live bytes, summed over all collections
}

// NewHeap returns the heap of a server that was started with [Wrapper].
func NewHeap(server *harness.Server) *Heap { return &Heap{server: server} }

// Allocated is what a server has allocated since it started.
type Allocated struct{ Bytes, Pieces float64 }

// Counters are the server's metrics that have no labels.
type Counters map[string]float64

// Allocated returns what the server had allocated. That it answers allocates something as well,
// which is in the next answer.
func (c Counters) Allocated() Allocated {
	return Allocated{c[allocatedBytes], c[allocatedPieces]}
}

// Collect runs the collector if there is much garbage, and the first time. Call it where nothing is
// measured.
func (h *Heap) Collect(ctx context.Context) error {
	before, err := h.Counters(ctx)
	if err != nil || h.live > 0 && before[allocatedBytes] < h.collected+most {
		return err
	}
	start, err := figure.ProcessorTimeOf(h.server.PID())
	if err != nil {
		return err
	}
	// The parameter makes the handler run the collector before it writes the profile.
	status, body, err := h.server.Get(ctx, "/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("running the server's collector: status %d: %.200s", status, body)
	}
	end, err := figure.ProcessorTimeOf(h.server.PID())
	if err != nil {
		return err
	}
	after, err := h.Counters(ctx)
	if err != nil {
		return err
	}
	h.collected = after[allocatedBytes]
	h.spent += end - start
	h.live += after[liveBytes]
	return nil
}

// Price returns the processor time that the collector takes for a number of bytes of garbage. There
// must have been a collection. The price includes the profile that a collection writes.
func (h *Heap) Price(bytes float64) time.Duration {
	return time.Duration(bytes / h.live * float64(h.spent))
}

// Counters reads the server's counters.
func (h *Heap) Counters(ctx context.Context) (Counters, error) {
	metrics, err := h.server.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	counters := Counters{}
	for line := range strings.Lines(metrics) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "#" || strings.Contains(name, "{") {
			continue
		}
		if counters[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
	}
	return counters, nil
}
