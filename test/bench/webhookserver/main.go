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

// Command webhookserver measures bin/wasm-admission-webhook as an apiserver uses it, over one
// connection. It serves one Rust policy, or ten, of which each review goes to one:
//
//   - reviews_per_core: reviews per second of the server's processor time, with
//     eight senders, and with one sender, which leaves the server idle between reviews;
//   - p99_at_70: the 99th percentile of the response time at 70 % of one sender's rate;
//   - memory_idle and memory_loaded: the server's resident memory.
//
// If POLICY_SERVER is the path of Kubewarden's policy-server, the command measures both servers in
// turns.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

// rounds is the number of measurements of each server, in turns.
const rounds = 3

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "webhookserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	request, err := evaluation.Request()
	if err != nil {
		return err
	}
	body := fmt.Appendf(nil,
		`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":%s}`,
		bytes.TrimSpace(request))
	figure.Print("webhook_review_bytes", float64(len(body)), "bytes")
	directory, err := os.MkdirTemp("", "bench-webhook-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := sample.WriteModules(directory, 10); err != nil {
		return err
	}
	cluster, err := harness.New(harness.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	for _, policies := range []int{1, 10} {
		if err := compare(ctx, cluster, directory, policies, body); err != nil {
			return err
		}
	}
	return nil
}

// results are the results of one server.
type results struct{ perCore, oneSender, rate, p99, idle, loaded []float64 }

// compare measures the servers with a number of policies.
func compare(ctx context.Context, cluster *harness.Server, directory string, policies int,
	body []byte) (err error) {
	targets, err := start(ctx, cluster, directory, policies)
	for _, t := range targets {
		defer func() { err = errors.Join(err, t.stop()) }()
	}
	if err != nil {
		return err
	}
	all := make([]results, len(targets))
	for range rounds {
		for n, t := range targets {
			if err := all[n].add(ctx, t, body); err != nil {
				return err
			}
		}
	}
	for n, t := range targets {
		of := fmt.Sprintf("%s_%d", t.name(), policies)
		figure.Print(of+"_reviews_per_core", median(all[n].perCore), "1/s")
		figure.Print(of+"_reviews_per_core_one_sender", median(all[n].oneSender), "1/s")
		figure.Print(of+"_reviews_one_sender", median(all[n].rate), "1/s")
		figure.Print(of+"_p99_at_70", median(all[n].p99), "us")
		figure.Print(of+"_memory_idle", all[n].idle[0], "MiB")
		figure.Print(of+"_memory_loaded", slices.Max(all[n].loaded), "MiB")
	}
	return nil
}

// add measures a server once more.
func (r *results) add(ctx context.Context, t target, body []byte) error {
	c := newClient(body)
	defer c.close()
	idle, err := resident(t.pid())
	if err != nil {
		return err
	}
	r.idle = append(r.idle, idle)
	if _, _, err := closed(ctx, c, t, 1, warmUp); err != nil {
		return err
	}
	most := peak(t.pid())
	defer func() { r.loaded = append(r.loaded, most()) }()
	_, perCore, err := closed(ctx, c, t, several, measure)
	if err != nil {
		return err
	}
	rate, oneSender, err := closed(ctx, c, t, 1, measure)
	if err != nil {
		return err
	}
	p99, err := open(ctx, c, t, 0.7*rate, measure)
	if err != nil {
		return err
	}
	r.perCore, r.oneSender = append(r.perCore, perCore), append(r.oneSender, oneSender)
	r.rate, r.p99 = append(r.rate, rate), append(r.p99, figure.Microseconds(p99))
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
