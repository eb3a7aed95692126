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

// Command admission measures what admission costs the creation of a Pod on the
// real kube-apiserver: with policies in process, with the same policies behind
// webhooks, and with a CEL policy of the same rule. With POLICY_SERVER set to the
// path of Kubewarden's policy-server, that has the same policies too. With BASELINE
// set to the path of another build of the server, that is measured in turns.
//
// There is one server for all of it. Every configuration has a namespace, whose
// label policies and webhooks select it by; so whatever else the server and the
// machine do, they do it to all of them alike, and what is added is the cost of
// being evaluated. That all policies are looked at, and most not selected, is
// part of every figure, that of the namespace without policies included.
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
	plot := flag.String("plot", "", "draw what policies add to the latency into a file, as SVG")
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
	benches, err := startAll(ctx, directory, os.Getenv("BASELINE"))
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
	var baseline *added
	if len(sums) > 1 {
		baseline = &sums[1]
	}
	compare(sums[0], baseline)
	if plot == "" {
		return nil
	}
	return os.WriteFile(plot, draw(sums[0].p50), 0o644) //nolint:gosec // a picture for everybody
}
