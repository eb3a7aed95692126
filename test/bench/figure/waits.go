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

// Waits is a histogram of the garbage collector's waits, in seconds. For each stop of the world,
// the runtime records the time from the decision to stop until all goroutines have stopped. The
// zero value is empty. It is not safe for concurrent use.
type Waits struct {
	counts  []uint64
	buckets []float64
}

// ReadWaits reads the runtime's histogram since the process started.
func ReadWaits() *metrics.Float64Histogram {
	samples := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(samples)
	return samples[0].Value.Float64Histogram()
}

// Add adds the difference between two readings.
func (w *Waits) Add(before, after *metrics.Float64Histogram) {
	if w.counts == nil {
		w.counts, w.buckets = make([]uint64, len(after.Counts)), after.Buckets
	}
	for n := range after.Counts {
		w.counts[n] += after.Counts[n] - before.Counts[n]
	}
}

// Quantile returns the upper bound of the bucket that contains the quantile. If the bucket has no
// upper bound, it returns the lower bound. It returns 0 if the histogram is empty.
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
