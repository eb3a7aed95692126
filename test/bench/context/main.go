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

// Command context measures what a policy that lists the cluster's 3,000 namespaces or 10,000 pods
// adds to the creation of a Pod, on the real kube-apiserver and with many concurrent clients.
//
// A single server has all configurations. Every configuration has a namespace, which its policy
// selects. Clients create Pods in all namespaces in random order. So everything else that etcd, the
// garbage collector and the machine do affects all configurations alike. Two configurations have no
// policy, and the difference between them is noise. Every created Pod changes the list of pods, for
// all configurations.
//
// Requests are due at predetermined times. If each client sent its next request after the previous
// response, there would always be as many requests in flight as clients, and a latency would mostly
// be time in the queue: a policy that takes one millisecond of processor time would be charged with
// twenty. Latencies count from when a request was due, and so include the delay if a client is
// still busy with the previous request.
//
// Small differences between quantiles of client latencies are noisy. So the command also prints the
// server's own measurements of the policies' evaluations.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

func main() {
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logr.Discard()),
		os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "context:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "bench-context-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	b, err := start(ctx, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Stop()) }()
	if err := b.populate(ctx); err != nil {
		return err
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	ratio, err := b.cacheRatio(ctx)
	if err != nil {
		return err
	}
	m, err := b.measure(ctx)
	if err != nil {
		return err
	}
	m.report()
	figure.Print("context_cache_ratio", ratio, "ratio")
	return nil
}
