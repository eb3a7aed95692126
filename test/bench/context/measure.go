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
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	// rounds of batches are measured, after one that warms everything up.
	rounds, batch = 10, 300
)

// result is what was measured of one configuration.
type result struct {
	// latencies are those of all requests, as the clients see them.
	latencies []time.Duration
	// cpu is what the server took for all requests together.
	cpu time.Duration
}

// measure runs batches of the configurations in turn, in changing order.
func (b *bench) measure(ctx context.Context) ([]result, error) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // an order is no secret
	results := make([]result, len(configurations))
	for round := range 1 + rounds {
		for _, n := range random.Perm(len(configurations)) {
			measured, err := b.batch(ctx, configurations[n].name)
			if err != nil {
				return nil, fmt.Errorf("configuration %s: %w", configurations[n].name, err)
			}
			if round > 0 {
				results[n].latencies = append(results[n].latencies, measured.latencies...)
				results[n].cpu += measured.cpu
			}
		}
	}
	return results, nil
}

// batch creates Pods, and then deletes them without measuring that.
func (b *bench) batch(ctx context.Context, namespace string) (result, error) {
	pods := b.client.CoreV1().Pods(namespace)
	r := result{latencies: make([]time.Duration, batch)}
	before, err := figure.ProcessorTimeOf(b.server.PID())
	if err != nil {
		return r, err
	}
	err = inParallel(ctx, batch, func(ctx context.Context, n int) error {
		wanted := pod(fmt.Sprint("pod-", n))
		start := time.Now()
		_, err := pods.Create(ctx, wanted, metav1.CreateOptions{})
		r.latencies[n] = time.Since(start)
		return err
	})
	if err != nil {
		return r, err
	}
	after, err := figure.ProcessorTimeOf(b.server.PID())
	if err != nil {
		return r, err
	}
	r.cpu = after - before
	return r, pods.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}, metav1.ListOptions{})
}

// report prints the figures. Those of policies that list are what they add to one that
// does nothing.
func report(results []result, ratio float64) {
	accept := results[1]
	for n, c := range configurations {
		name, r, less := strings.ReplaceAll(c.name, "-", "_"), results[n], result{}
		if c.settings != "" {
			less = accept
		}
		for _, percent := range []int{50, 99} {
			figure.Print(fmt.Sprintf("%s_p%d_ms", name, percent), milliseconds(r.quantile(percent)-less.quantile(percent)), "ms")
		}
		figure.Print(name+"_cpu_ms", milliseconds((r.cpu-less.cpu)/(rounds*batch)), "ms")
	}
	figure.Print("context_cache_ratio", ratio, "ratio")
}

// quantile is the latency that so many of a hundred requests did not exceed; zero of none.
func (r result) quantile(percent int) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.latencies))
	return sorted[(len(sorted)-1)*percent/100]
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
