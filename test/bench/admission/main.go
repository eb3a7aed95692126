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

// Command admission measures what admission adds to the creation of a Pod on the real
// kube-apiserver: with policies in process, with the same policies behind webhooks, and with CEL
// policies for the same rule. If POLICY_SERVER is the path of Kubewarden's policy-server, it also
// measures the same policies there. If BASELINE is the path of another build of the server, it
// measures both builds in turns, and nothing but policies in process.
//
// A single server has all configurations. Every configuration has a namespace, which its policies
// and webhooks select by label. So everything else that the server and the machine do affects all
// configurations alike, and the difference is the cost of the evaluation. Every figure, even that
// of the namespace without policies, includes the time to find that most policies do not match.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

func main() {
	serve := flag.String("serve", "",
		"serve the modules in a directory as webhooks until standard input ends; for the command itself")
	plot := flag.String("plot", "", "draw the latency that policies add, as an SVG file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logr.Discard()),
		os.Interrupt)
	defer stop()
	work := func(ctx context.Context) error { return run(ctx, *plot) }
	if *serve != "" {
		work = func(ctx context.Context) error { return serveWebhooks(ctx, *serve) }
	}
	if err := work(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "admission:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, plot string) (err error) {
	directory, err := os.MkdirTemp("", "bench-admission-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := sample.WriteModules(directory, most(inProcess)); err != nil {
		return err
	}
	if err := countEncodings(ctx, directory); err != nil {
		return err
	}
	benches, err := startAll(ctx, directory)
	for _, b := range benches {
		defer func() { err = errors.Join(err, b.stop()) }()
	}
	if err != nil {
		return err
	}
	for _, b := range benches {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	results, err := measure(ctx, benches)
	if err != nil {
		return err
	}
	sums := make([]added, len(benches))
	for n, b := range benches {
		sums[n] = b.report(results[n])
		if err := b.reportMemory(); err != nil {
			return err
		}
	}
	if baseline != "" {
		compareToBaseline(sums[0], sums[1])
	} else {
		compare(sums[0])
	}
	if plot == "" {
		return nil
	}
	return os.WriteFile(plot, draw(sums[0].p50), 0o644) //nolint:gosec // everyone may read the picture
}
