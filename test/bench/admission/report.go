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

package main

import (
	"slices"
	"time"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// report prints the figures. Latencies are quantiles over all requests. Processor
// time is the mean: a garbage collection falls into one batch of several and has
// to be paid by all, which a median over batches would hide.
func report(results []result) {
	requests := time.Duration(rounds * batch)
	none := results[0]
	figure.Print("p50_ms_none", milliseconds(none.quantile(50)), "ms")
	figure.Print("p99_ms_none", milliseconds(none.quantile(99)), "ms")
	figure.Print("cpu_us_none", microseconds(none.cpu/requests), "us")
	added, addedCPU := map[string]time.Duration{}, map[string]time.Duration{}
	for n, c := range configurations[1:] {
		r := results[n+1]
		added[c.name] = r.quantile(50) - none.quantile(50)
		addedCPU[c.name] = r.cpu - none.cpu
		figure.Print("added_p50_ms_"+c.name, milliseconds(added[c.name]), "ms")
		figure.Print("added_p99_ms_"+c.name, milliseconds(r.quantile(99)-none.quantile(99)), "ms")
		figure.Print("cpu_us_"+c.name, microseconds(r.cpu/requests), "us")
	}
	// The first two are of the latency that is added at the median, the others of
	// the processor time that is added.
	for _, pair := range [][2]string{{"wasm1", "hook1"}, {"wasm10", "hook10"}} {
		figure.Print("ratio_"+pair[0]+"_to_"+pair[1], float64(added[pair[0]])/float64(added[pair[1]]), "ratio")
	}
	for _, pair := range [][2]string{{"wasm1", "hook1"}, {"wasm10", "hook10"}} {
		figure.Print("ratio_cpu_"+pair[0]+"_to_"+pair[1], float64(addedCPU[pair[0]])/float64(addedCPU[pair[1]]), "ratio")
	}
}

// quantile is the latency that so many of a hundred requests did not exceed.
func (r result) quantile(percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(r.latencies))
	return sorted[(len(sorted)-1)*percent/100]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }
