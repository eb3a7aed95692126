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

// added is the cost that configurations add to a request, by name.
type added struct{ p50, cpu map[string]time.Duration }

// report prints the figures of a server. Latencies are quantiles over all requests, while the
// server's collector did not run. Processor time is the mean over all batches, with what the
// collector takes for their garbage.
func (b *bench) report(results []result) added {
	requests := time.Duration(rounds * batch)
	figure.Print(b.prefix+"collector_us_per_mib", microseconds(b.heap.Price(1<<20)), "us")
	for n := range results {
		results[n].cpu += b.heap.Price(results[n].garbage)
	}
	none := results[0]
	figure.Print(b.prefix+"p50_ms_none", milliseconds(none.quantile(50)), "ms")
	figure.Print(b.prefix+"p99_ms_none", milliseconds(none.quantile(99)), "ms")
	figure.Print(b.prefix+"cpu_us_none", microseconds(none.cpu/requests), "us")
	figure.Print(b.prefix+"garbage_kib_none", none.garbage/float64(requests)/1024, "KiB")
	sum := added{map[string]time.Duration{}, map[string]time.Duration{}}
	for n, c := range configurations[1:] {
		r := results[n+1]
		sum.p50[c.name], sum.cpu[c.name] = r.quantile(50)-none.quantile(50),
			(r.cpu-none.cpu)/requests
		figure.Print(b.prefix+"added_p50_ms_"+c.name, milliseconds(sum.p50[c.name]), "ms")
		figure.Print(b.prefix+"added_p99_ms_"+c.name,
			milliseconds(r.quantile(99)-none.quantile(99)), "ms")
		figure.Print(b.prefix+"added_cpu_us_"+c.name, microseconds(sum.cpu[c.name]), "us")
		figure.Print(b.prefix+"added_garbage_kib_"+c.name,
			(r.garbage-none.garbage)/float64(requests)/1024, "KiB")
	}
	return sum
}

// compare prints the ratio between the cost of policies in process and of other mechanisms for the
// same policies.
func compare(ours added) {
	for _, c := range configurations {
		if c.policies > 0 && c.mechanism != inProcess {
			name := fmt.Sprintf("wasm%d", c.policies)
			ratio(name+"_to_"+c.name, ours.cost(name), ours.cost(c.name))
		}
	}
}

// compareToBaseline prints the ratio between the costs in two builds of the server.
func compareToBaseline(ours, baseline added) {
	for _, c := range configurations[1:] {
		ratio(c.name+"_to_baseline", ours.cost(c.name), baseline.cost(c.name))
	}
}

// cost is what a configuration adds to a request.
type cost struct{ p50, cpu time.Duration }

func (a added) cost(name string) cost { return cost{a.p50[name], a.cpu[name]} }

// ratio prints the ratio between two costs: one figure for the median latency, and one for
// processor time.
func ratio(name string, one, other cost) {
	figure.Print("ratio_"+name, float64(one.p50)/float64(other.p50), "ratio")
	figure.Print("ratio_cpu_"+name, float64(one.cpu)/float64(other.cpu), "ratio")
}

// reportMemory prints the resident memory of the processes. The server's memory includes etcd and
// everything outside admission.
func (b *bench) reportMemory() error {
	names := []string{"apiserver", "hook", "kw"}
	for n, pid := range b.processes() {
		bytes, err := figure.Resident(pid)
		if err != nil {
			return err
		}
		figure.Print(b.prefix+"memory_mib_"+names[n], float64(bytes)/(1<<20), "MiB")
	}
	return nil
}

// quantile returns the latency that the given percentage of requests did not exceed.
func (r result) quantile(percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(r.latencies))
	return sorted[(len(sorted)-1)*percent/100]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }
