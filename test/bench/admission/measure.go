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
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	// rounds is the number of measured rounds, after one warm-up round. batch is the number of Pods
	// in a batch.
	rounds, batch = 50, 50
)

// result holds the measurements of one configuration.
type result struct {
	// latencies are the latencies of all requests, as the client sees them.
	latencies []time.Duration
	// cpu is the processor time of all requests, without that of the server's collector.
	cpu time.Duration
	// garbage is the number of bytes that the server allocated for all requests.
	garbage float64
}

// measure runs batches of all configurations of all servers in turns, and returns the results of
// each server. The order is shuffled reproducibly. Otherwise a batch would always inherit the
// garbage of the same previous batch.
func measure(ctx context.Context, benches []*bench) ([][]result, error) {
	type contestant struct{ bench, configuration int }
	var contestants []contestant
	results := make([][]result, len(benches))
	for n := range benches {
		results[n] = make([]result, len(configurations))
		for c := range configurations {
			contestants = append(contestants, contestant{n, c})
		}
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the order is not secret
	for round := range 1 + rounds {
		for _, n := range random.Perm(len(contestants)) {
			b, into := benches[contestants[n].bench],
				&results[contestants[n].bench][contestants[n].configuration]
			name := configurations[contestants[n].configuration].name
			measured, err := b.batch(ctx, name)
			if err != nil {
				return nil, fmt.Errorf("configuration %s%s: %w", b.prefix, name, err)
			}
			if round == 0 {
				continue
			}
			into.latencies = append(into.latencies, measured.latencies...)
			into.cpu += measured.cpu
			into.garbage += measured.garbage
		}
	}
	return results, nil
}

// batch creates Pods one after another and measures that. Then it deletes them, and the server
// collects its garbage.
func (b *bench) batch(ctx context.Context, namespace string) (result, error) {
	pods := b.client.CoreV1().Pods(namespace)
	countersBefore, err := b.heap.Counters(ctx)
	if err != nil {
		return result{}, err
	}
	before, err := b.processorTime()
	if err != nil {
		return result{}, err
	}
	var r result
	for n := range batch {
		pod := b.named(fmt.Sprintf("pod-%d", n))
		start := time.Now()
		if _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return result{}, err
		}
		r.latencies = append(r.latencies, time.Since(start))
	}
	after, err := b.processorTime()
	if err != nil {
		return result{}, err
	}
	counters, err := b.heap.Counters(ctx)
	if err != nil {
		return result{}, err
	}
	r.cpu = after - before
	r.garbage = counters.Allocated().Bytes - countersBefore.Allocated().Bytes
	err = pods.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))},
		metav1.ListOptions{})
	if err != nil {
		return result{}, err
	}
	return r, b.heap.Collect(ctx)
}

// processorTime returns the total processor time of the processes.
func (b *bench) processorTime() (sum time.Duration, err error) {
	for _, pid := range b.processes() {
		used, err := figure.ProcessorTimeOf(pid)
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}
