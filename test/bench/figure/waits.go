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

package figure

import (
	"math"
	"runtime/metrics"
)

// Waits is how often the garbage collector waited how long, in seconds. The runtime
// counts, for each stop of the world, the time from the decision to stop it until
// all goroutines have stopped. The zero value has counted nothing. It is not safe for
// concurrent use.
type Waits struct {
	counts  []uint64
	buckets []float64
}

// ReadWaits reads what the runtime has counted since the process began.
func ReadWaits() *metrics.Float64Histogram {
	samples := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(samples)
	return samples[0].Value.Float64Histogram()
}

// Add adds what was counted between two readings.
func (w *Waits) Add(before, after *metrics.Float64Histogram) {
	if w.counts == nil {
		w.counts, w.buckets = make([]uint64, len(after.Counts)), after.Buckets
	}
	for n := range after.Counts {
		w.counts[n] += after.Counts[n] - before.Counts[n]
	}
}

// Quantile returns the upper end of the bucket in which the quantile lies, or its
// lower end where there is none; 0 if nothing was counted.
func (w *Waits) Quantile(q float64) float64 {
	var total, seen uint64
	for _, count := range w.counts {
		total += count
	}
	for n, count := range w.counts {
		if seen += count; count > 0 && float64(seen) >= q*float64(total) {
			if upper := w.buckets[n+1]; !math.IsInf(upper, 1) {
				return upper
			}
			return w.buckets[n]
		}
	}
	return 0
}
