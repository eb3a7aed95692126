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
// selects. Pods are created and deleted all the time, so that the list of pods is
// another at every evaluation.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logr.Discard()), os.Interrupt)
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
	results, err := b.measure(ctx)
	if err != nil {
		return err
	}
	report(results, ratio)
	return nil
}
