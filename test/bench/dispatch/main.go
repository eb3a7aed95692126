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

// Command dispatch measures the cost of a request that matches no policy, the cost of spans for a
// sampled request, and the cost of a request that a policy evaluates in process and behind a
// webhook.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
	"github.com/wasm-admission/wasm-admission/test/bench/webhook"
)

const rounds, batch = 15, 100

func main() {
	if err := run(klog.NewContext(context.Background(), logr.Discard())); err != nil {
		fmt.Fprintln(os.Stderr, "dispatch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "bench-dispatch-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }() // in the system's temporary directory
	if err := sample.WriteModules(directory, 1); err != nil {
		return err
	}
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	if err := measureNoMatch(ctx, e, directory); err != nil {
		return err
	}
	if err := measureSpans(ctx, e, directory); err != nil {
		return err
	}
	return measurePod(ctx, e, directory)
}

// measureNoMatch measures an update of a Lease with policies that match other resources, on a
// server that traces but did not sample the request.
func measureNoMatch(ctx context.Context, e *engine.Engine, directory string) error {
	const policies = 22
	wanted := []string{
		"pods", "deployments", "services", "ingresses", "configmaps", "secrets", "namespaces",
	}
	var specs []wasmadmission.Policy
	for n := range policies {
		for _, mutating := range []bool{false, true} {
			policy := sample.Policy(fmt.Sprintf("policy-%d-%t", n, mutating),
				sample.ModulePath(directory, 0), wanted[n%len(wanted)])
			policy.Mutating = mutating
			specs = append(specs, policy)
		}
	}
	set, err := sample.Load(ctx, e, specs...)
	if err != nil {
		return err
	}
	defer set.Close()
	dispatcher, err := sample.NewDispatcher()
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	dispatcher.Use(set)
	attr := sample.Renewal()
	interfaces := sample.ObjectInterfaces()
	unsampled := request(ctx, sdktrace.NeverSample())
	for prefix, phase := range map[string]func(context.Context, admission.Attributes,
		admission.ObjectInterfaces) error{
		"no_match": dispatcher.Validate, "no_match_admit": dispatcher.Admit,
	} {
		result := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := phase(unsampled, attr, interfaces); err != nil {
					b.Fatal(err)
				}
			}
		})
		figure.Print(prefix+"_ns", float64(result.NsPerOp()), "ns")
		figure.Print(prefix+"_allocs", float64(result.AllocsPerOp()), "allocations")
	}
	return nil
}

// measurePod measures the creation of a Pod that one policy evaluates.
func measurePod(ctx context.Context, e *engine.Engine, directory string) error {
	set, err := sample.Load(ctx, e, sample.PodPolicies(directory, 1)...)
	if err != nil {
		return err
	}
	defer set.Close()
	dispatcher, err := sample.NewDispatcher()
	if err != nil {
		return err
	}
	defer dispatcher.Close()
	dispatcher.Use(set)
	server, err := webhook.Serve(set)
	if err != nil {
		return err
	}
	defer server.Close()
	plugin, stop, err := newPlugin(ctx, server.Endpoint)
	if err != nil {
		return err
	}
	defer close(stop)
	pod, err := sample.Pod()
	if err != nil {
		return err
	}
	attr, interfaces := sample.Creation(pod), sample.ObjectInterfaces()
	cpu, wall, err := figure.Interleave(rounds, batch,
		func() error { return dispatcher.Validate(ctx, attr, interfaces) },
		func() error { return plugin.Validate(ctx, attr, interfaces) })
	if err != nil {
		return err
	}
	figure.Print("rust_pod_cpu_us", float64(cpu[0].Nanoseconds())/1e3, "us")
	figure.Print("webhook_pod_cpu_us", float64(cpu[1].Nanoseconds())/1e3, "us")
	figure.Print("ratio_rust_to_webhook", float64(cpu[0])/float64(cpu[1]), "ratio")
	figure.Print("rust_pod_wall_us", float64(wall[0].Nanoseconds())/1e3, "us")
	figure.Print("webhook_pod_wall_us", float64(wall[1].Nanoseconds())/1e3, "us")
	return nil
}
