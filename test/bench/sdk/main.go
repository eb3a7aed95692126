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

// Command sdk compares two builds of this repository's Go policies, such as before and after a
// change of sdk/go: their size, their loading time, and the fuel and processor time of an
// evaluation.
//
//	go run ./test/bench/sdk BEFORE AFTER
//
// The arguments are directories with modules. The builds are measured in turns.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// policies are the measured policies, with settings with which they accept the request.
var policies = []struct{ name, settings string }{
	{"required-labels", `{"labels":{"app.kubernetes.io/name":".+"}}`},
	{"deny-deletion", `{"operations":["DELETE","CONNECT"],"protectedLabel":"protected"}`},
	{"add-defaults", `{"labels":{"team":"payments"}}`},
	{"audit-logger", `{}`},
	{"label-from-namespace-go", `{"label":"owner"}`},
}

const rounds, batch, loads = 15, 20, 3

// namespace answers the host calls.
type namespace struct{}

func (namespace) Call(_ context.Context, c abi.HostCall) ([]byte, error) {
	if c.Namespace == "tracing" {
		return nil, nil
	}
	return []byte(
		`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"owner":"a"}}}`), nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sdk BEFORE AFTER")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, directories []string) error {
	request, err := evaluation.Request()
	if err != nil {
		return err
	}
	for _, p := range policies {
		var evaluations, compilations []func() error
		for n, directory := range directories {
			binary, err := os.ReadFile(filepath.Join(directory, p.name+".wasm"))
			if err != nil {
				return err
			}
			b, err := load(ctx, binary)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			defer b.close()
			fuel, err := b.evaluate(ctx, request, []byte(p.settings))
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			figure.Print(name(p.name, n, "size_kib"), float64(len(binary))/1024, "KiB")
			figure.Print(name(p.name, n, "fuel"), float64(fuel), "units")
			evaluations = append(evaluations, func() error {
				_, err := b.evaluate(ctx, request, []byte(p.settings))
				return err
			})
			compilations = append(compilations, func() error {
				b, err := load(ctx, binary)
				if err == nil {
					b.close()
				}
				return err
			})
		}
		if err := measure(p.name, evaluations, compilations); err != nil {
			return err
		}
	}
	return nil
}

// build is a build of a policy with its own engine.
type build struct {
	engine *engine.Engine
	guest  *wapc.Guest
}

func load(ctx context.Context, binary []byte) (*build, error) {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	if err != nil {
		return nil, err
	}
	guest, err := wapc.Load(ctx, e, binary)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return &build{engine: e, guest: guest}, nil
}

func (b *build) evaluate(ctx context.Context, request, settings []byte) (fuel int64, err error) {
	environment := *evaluation.Environment
	environment.Capabilities = namespace{}
	_, usage, err := b.guest.Validate(ctx, &environment, request, settings)
	return usage.Fuel, err
}

func (b *build) close() {
	b.guest.Close()
	if err := b.engine.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
	}
}

func measure(policy string, evaluations, compilations []func() error) error {
	cpu, _, err := figure.Interleave(rounds, batch, evaluations...)
	if err != nil {
		return err
	}
	loading, _, err := figure.Interleave(loads, 1, compilations...)
	if err != nil {
		return err
	}
	for n := range cpu {
		figure.Print(name(policy, n, "us"), figure.Microseconds(cpu[n]), "us")
		figure.Print(name(policy, n, "load_ms"), figure.Microseconds(loading[n])/1000, "ms")
	}
	return nil
}

func name(policy string, build int, what string) string {
	return policy + "_" + [...]string{"before", "after"}[build] + "_" + what
}
