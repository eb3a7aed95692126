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
// Command wasmtime compares an evaluation with one in wasmtime on a new instance, which is how
// Kubewarden's policy-server runs policies. It has its own module, so that the product does not
// depend on wasmtime. Run it from the root of the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

var guests = []struct{ language, path, settings string }{
	{"rust", "test/policies/pod-privileged/policy.wasm", `{}`},
	{"go", "bin/policies/required-labels.wasm", `{"labels":{"app":".+"}}`},
}

const rounds, batch = 15, 10

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "wasmtime:", err)
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
	for _, g := range guests {
		wasm, err := os.ReadFile(g.path)
		if err != nil {
			return fmt.Errorf("run this from the root of the repository, after make policies: %w",
				err)
		}
		if err := compare(ctx, e, g.language, wasm, request, []byte(g.settings)); err != nil {
			return fmt.Errorf("%s: %w", g.path, err)
		}
	}
	return nil
}

func compare(ctx context.Context, e *engine.Engine, language string, wasm, request,
	settings []byte) error {
	guest, err := wapc.Load(ctx, e, wasm)
	if err != nil {
		return err
	}
	defer guest.Close()
	fresh, err := newFresh(wasm)
	if err != nil {
		return err
	}
	var ours, theirs *abi.ValidationResponse
	cpu, _, err := figure.Interleave(rounds, batch,
		func() (err error) {
			ours, _, err = guest.Validate(ctx, evaluation.Environment, request, settings)
			return err
		},
		func() (err error) {
			theirs, err = fresh.validate(request, settings)
			return err
		})
	if err != nil {
		return err
	}
	if ours.Accepted != theirs.Accepted || ours.Message != theirs.Message {
		return fmt.Errorf("the responses differ: %+v and %+v", ours, theirs)
	}
	figure.Print(language+"_us", figure.Microseconds(cpu[0]), "us")
	figure.Print(language+"_wasmtime_fresh_us", figure.Microseconds(cpu[1]), "us")
	figure.Print(language+"_vs_wasmtime_fresh", float64(cpu[0])/float64(cpu[1]), "x")
	return nil
}
