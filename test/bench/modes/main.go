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

// Command modes measures the processor time of the same rule in every execution mode, for an
// evaluation of a Pod without privileged containers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wasi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const rounds, batch = 15, 20

// mode is an implementation of the rule.
type mode struct {
	figure, path string
	load         func(ctx context.Context, e *engine.Engine, binary []byte) (abi.Guest, error)
}

var modes = []mode{
	{"wapc_rust_us", "test/policies/pod-privileged/policy.wasm", loadWaPC},
	{"wapc_go_us", "bin/modes/wapc.wasm", loadWaPC},
	{"wasi_go_us", "bin/modes/wasi.wasm", loadWASI},
	{"rego_opa_us", "bin/modes/opa.wasm", topdown.Loader(abi.ExecutionModeOPA)},
	{"rego_gatekeeper_us", "bin/modes/gatekeeper.wasm",
		topdown.Loader(abi.ExecutionModeGatekeeper)},
}

func loadWaPC(ctx context.Context, e *engine.Engine, binary []byte) (abi.Guest, error) {
	return wapc.Load(ctx, e, binary)
}

func loadWASI(ctx context.Context, e *engine.Engine, binary []byte) (abi.Guest, error) {
	return wasi.Load(ctx, e, binary)
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "modes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	request, err := evaluation.Request()
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var contestants []func() error
	for _, m := range modes {
		binary, err := os.ReadFile(m.path)
		if err != nil {
			return fmt.Errorf("run make bench-modes: %w", err)
		}
		guest, err := m.load(ctx, e, binary)
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		defer guest.Close()
		contestants = append(contestants, func() error {
			response, _, err := guest.Validate(ctx, evaluation.Environment, request, []byte(`{}`))
			if err == nil && !response.Accepted {
				err = fmt.Errorf("%s denies the Pod: %s", m.path, response.Message)
			}
			return err
		})
	}
	cpu, _, err := figure.Interleave(rounds, batch, contestants...)
	if err != nil {
		return err
	}
	for n, m := range modes {
		figure.Print(m.figure, figure.Microseconds(cpu[n]), "us")
	}
	return nil
}
