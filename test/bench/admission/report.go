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
	"fmt"
	"slices"
	"time"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// report prints the figures. Latencies are quantiles over all requests. Processor
// time is the mean: a garbage collection falls into one batch of several and has
// to be paid by all, which a median over batches would hide. It returns what was added
// at the median, by configuration.
func report(results []result) map[string]time.Duration {
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
	for _, c := range configurations {
		if c.mechanism != byWebhook && c.mechanism != byPolicyServer {
			continue
		}
		// One is of the latency that is added at the median, the other of the processor
		// time that is added.
		ours := fmt.Sprintf("wasm%d", c.policies)
		figure.Print("ratio_"+ours+"_to_"+c.name, float64(added[ours])/float64(added[c.name]), "ratio")
		figure.Print("ratio_cpu_"+ours+"_to_"+c.name, float64(addedCPU[ours])/float64(addedCPU[c.name]), "ratio")
	}
	return added
}

// reportMemory prints what of the processes is in memory. The server's has its etcd, and
// everything that is not about admission.
func (b *bench) reportMemory() error {
	names := []string{"apiserver", "hook", "kw"}
	for n, pid := range b.processes() {
		bytes, err := figure.Resident(pid)
		if err != nil {
			return err
		}
		figure.Print("memory_mib_"+names[n], float64(bytes)/(1<<20), "MiB")
	}
	return nil
}

// quantile is the latency that so many of a hundred requests did not exceed.
func (r result) quantile(percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(r.latencies))
	return sorted[(len(sorted)-1)*percent/100]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }
