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
	"context"
	"math/rand/v2"
	"time"
)

// Each round measures one window, after one warm-up round. Pods are deleted between rounds, so that
// the list of pods keeps its length.
const rounds, perRound = 16, 120

// measurement holds the measurements of all configurations.
type measurement struct {
	// latencies are the latencies of all requests as clients see them, by configuration and round.
	latencies [][][]time.Duration
	// late are the delays with which requests were sent.
	late []time.Duration
	use  use
	// evaluations are the server's measurements of the policies, by name.
	evaluations map[string]histogram
}

func (b *bench) measure(ctx context.Context) (*measurement, error) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the order is not secret
	m := &measurement{latencies: make([][][]time.Duration, len(configurations))}
	if err := b.round(ctx, random, nil); err != nil {
		return nil, err
	}
	before, err := b.evaluations(ctx)
	if err != nil {
		return nil, err
	}
	for range rounds {
		if err := b.round(ctx, random, m); err != nil {
			return nil, err
		}
	}
	m.evaluations, err = b.evaluations(ctx)
	for name, h := range m.evaluations {
		m.evaluations[name] = h.less(before[name])
	}
	return m, err
}

// round measures one window. If m is nil, the window does not count.
func (b *bench) round(ctx context.Context, random *rand.Rand, m *measurement) error {
	requests := plan(random, perRound)
	used, err := b.window(ctx, requests)
	if err != nil {
		return err
	}
	if m != nil {
		m.add(requests, used)
	}
	return b.clear(ctx)
}

func (m *measurement) add(requests []request, used use) {
	latencies := make([][]time.Duration, len(configurations))
	for _, r := range requests {
		latencies[r.configuration] = append(latencies[r.configuration], r.latency)
		m.late = append(m.late, r.late)
	}
	for n, of := range latencies {
		m.latencies[n] = append(m.latencies[n], of)
	}
	m.use.add(used)
}
