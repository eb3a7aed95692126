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
	"os"
	"path/filepath"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// forgotten discards recorded spans. The cost of exporting them is the apiserver's, and the same
// for all spans.
type forgotten struct{}

func (forgotten) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (forgotten) Shutdown(context.Context) error                             { return nil }

// request returns the context of a request as the apiserver's tracing creates it.
func request(ctx context.Context, sampler sdktrace.Sampler) context.Context {
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler),
		sdktrace.WithBatcher(forgotten{}))
	ctx, _ = provider.Tracer("server").Start(ctx, "request")
	return ctx
}

// measureSpans measures what sampling adds to a request for each policy that evaluates it. The
// policies' guest does almost nothing, so that the difference is mostly the cost of spans.
func measureSpans(ctx context.Context, e *engine.Engine, directory string) error {
	const policies = 10
	guest, err := os.ReadFile("test/wat/accept.wasm")
	if err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	path := filepath.Join(directory, "accept.wasm")
	if err := os.WriteFile(path, guest, 0o600); err != nil {
		return err
	}
	var specs []wasmadmission.Policy
	for n := range policies {
		specs = append(specs, sample.Policy(fmt.Sprintf("policy-%d", n), path, "pods"))
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
	pod, err := sample.Pod()
	if err != nil {
		return err
	}
	attr, interfaces := sample.Creation(pod), sample.ObjectInterfaces()
	sampled, unsampled := request(ctx, sdktrace.AlwaysSample()),
		request(ctx, sdktrace.NeverSample())
	cpu, _, err := figure.Interleave(4*rounds, batch,
		func() error { return dispatcher.Validate(sampled, attr, interfaces) },
		func() error { return dispatcher.Validate(unsampled, attr, interfaces) })
	if err != nil {
		return err
	}
	figure.Print("span_us", figure.Microseconds(cpu[0]-cpu[1])/policies, "us")
	return nil
}
