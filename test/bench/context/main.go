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

// Command context measures what it costs the creation of a Pod that a policy lists the
// cluster's 3,000 namespaces or its 10,000 pods, on the real kube-apiserver and under
// many clients at once.
//
// There is one server for all of it. Every configuration has a namespace, which its policy
// selects. Clients create Pods in all of them in mixed order, request by request: what
// else etcd, the garbage collector and the machine do in that time, they do to all
// configurations alike. One configuration is a second one without a policy, and what it
// differs by from the first is noise. Every Pod that is created is a change to the list
// of pods, for all configurations.
//
// Requests are due at times that were fixed before. With each client sending its next
// request when the one before is answered, as many would be under way as there are
// clients, and a latency would be the time in their queue: a policy that takes a
// millisecond of processor time would be charged with twenty. Latencies count from when
// a request was due, and so include what a client was late because of the one before.
//
// Differences between quantiles of what clients see are noisy where they are small. What
// the server itself measures of the policies' evaluations is printed beside them.
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
