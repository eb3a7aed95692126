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
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// resamples is the number of bootstrap samples of the rounds, for the confidence interval of a
// figure.
const resamples = 400

// report prints the figures: the load of the machine, the latencies of creations, the difference to
// each configuration's base with its 95 % bootstrap interval, and the server's measurements of the
// policies.
func (m *measurement) report() {
	figure.Print("server_cpu_percent", m.use.percent(m.use.server), "percent")
	figure.Print("client_cpu_percent", m.use.percent(m.use.client), "percent")
	figure.Print("late_p99_ms", milliseconds(quantile(m.late, 99)), "ms")
	for n, c := range configurations {
		for _, percent := range []int{50, 99} {
			figure.Print(fmt.Sprintf("create_%s_p%d_ms", c.figure(), percent),
				milliseconds(quantile(slices.Concat(m.latencies[n]...), percent)), "ms")
		}
	}
	for n, c := range configurations[1:] {
		for _, percent := range []int{50, 99} {
			m.compare(n+1, percent)
		}
		if h, evaluated := m.evaluations[c.name]; evaluated {
			figure.Print(c.figure()+"_evaluation_mean_ms", 1e3*h.mean(), "ms")
			figure.Print(c.figure()+"_evaluation_p50_at_most_ms", 1e3*h.atMost(50), "ms")
			figure.Print(c.figure()+"_evaluation_p99_at_most_ms", 1e3*h.atMost(99), "ms")
		}
	}
}

// compare prints the difference between a configuration's quantile and its base's quantile.
func (m *measurement) compare(configuration, percent int) {
	c := configurations[configuration]
	of, base := m.latencies[configuration], m.latencies[c.base]
	added := func(of, base [][]time.Duration) time.Duration {
		return quantile(slices.Concat(of...), percent) - quantile(slices.Concat(base...), percent)
	}
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the sample is not secret
	var drawn []time.Duration
	for range resamples {
		// Use the same rounds for both, because a disturbance affects both.
		some, theirs := make([][]time.Duration, rounds), make([][]time.Duration, rounds)
		for n := range rounds {
			round := random.IntN(rounds)
			some[n], theirs[n] = of[round], base[round]
		}
		drawn = append(drawn, added(some, theirs))
	}
	name := fmt.Sprintf("%s_p%d_ms", c.figure(), percent)
	slices.Sort(drawn)
	figure.Print(name, milliseconds(added(of, base)), "ms")
	figure.Print(name+"_low", milliseconds(drawn[resamples*25/1000]), "ms")
	figure.Print(name+"_high", milliseconds(drawn[resamples*975/1000]), "ms")
}

// figure returns the configuration's name for use in names of figures.
func (c *configuration) figure() string { return strings.ReplaceAll(c.name, "-", "_") }

// quantile returns the duration that the given percentage of durations do not exceed.
func quantile(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)-1)*percent/100]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
