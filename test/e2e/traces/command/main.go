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

// Command traces traces a request to a server with policies through an OpenTelemetry collector, and
// draws the trace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/wasm-admission/wasm-admission/test/e2e/traces"
)

var (
	collector = flag.String("collector", "",
		"path of an OpenTelemetry collector with the receiver otlp and the exporter otlp; required")
	output = flag.String("output", "docs/images/trace.svg", "file to draw the trace into")
)

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "traces:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "traces-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(directory) }() // in the system's temporary directory
	receiver, err := traces.Receive(ctx)
	if err != nil {
		return err
	}
	defer receiver.Close()
	address, stop, err := collect(ctx, directory, receiver.Address)
	if err != nil {
		return err
	}
	defer stop()
	scene, err := traces.Begin(ctx, ".", directory, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, scene.Stop()) }()
	var auditID string
	// the server's caches are empty on the first request
	for _, name := range []string{"first", "second"} {
		if auditID, _, err = scene.CreatePod(ctx, name, "registry.example.com/web:latest",
			false); err != nil {
			return err
		}
	}
	trace, err := receiver.Request(ctx, auditID)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*output), 0o755); err != nil {
		return err
	}
	fmt.Printf("%d spans, drawn into %s\n", len(trace), *output)
	return os.WriteFile(*output, draw("The creation of a Pod that three policies evaluate", trace),
		0o644)
}

// collect starts a collector that forwards spans to an address, and returns the collector's own
// address.
func collect(ctx context.Context, directory, to string) (address string, stop func(), err error) {
	if address, err = freeAddress(ctx); err != nil {
		return "", nil, err
	}
	file := filepath.Join(directory, "collector.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `
receivers: {otlp: {protocols: {grpc: {endpoint: "%s"}}}}
exporters: {otlp: {endpoint: "%s", compression: none, tls: {insecure: true}}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}
`, address, to), 0o600); err != nil {
		return "", nil, err
	}
	command := exec.CommandContext(ctx, *collector, "--config="+file)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return "", nil, fmt.Errorf("starting the collector: %w", err)
	}
	return address, func() {
		_ = command.Process.Kill() // fails only if the process has exited
		_ = command.Wait()
	}, nil
}

// freeAddress returns a free address.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
