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

// Command command counts the cases in which a mutating policy produces different objects in process
// and behind a webhook, on the kube-apiserver of this repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/webhookparity"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	modules, err := os.MkdirTemp("", "parity-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(modules) }() // in the system's temporary directory
	for _, module := range []string{"bin/policies/add-defaults.wasm", "test/wat/answer.wasm"} {
		wasm, err := os.ReadFile(module)
		if err != nil {
			return fmt.Errorf("run this from the root of the repository, after make policies: %w",
				err)
		}
		err = os.WriteFile(filepath.Join(modules, filepath.Base(module)), wasm, 0o600)
		if err != nil {
			return err
		}
	}
	configuration, err := webhookparity.Configuration(modules)
	if err != nil {
		return err
	}
	server, err := harness.New(harness.Options{FeatureGate: true, AdmissionConfig: configuration})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	comparison, err := webhookparity.New(ctx, server, modules)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, comparison.Close()) }()
	return compare(ctx, comparison)
}

func compare(ctx context.Context, comparison *webhookparity.Comparison) error {
	cases, differences := webhookparity.Cases(), 0
	for _, c := range cases {
		difference, err := comparison.Run(ctx, c)
		if err != nil {
			return err
		}
		if difference != "" {
			differences++
			fmt.Printf("%s: %s\n", c.Name, difference)
		}
	}
	figure.Print("parity_cases", float64(len(cases)), "cases")
	figure.Print("parity_differences", float64(differences), "cases")
	if differences > 0 {
		return fmt.Errorf("%d of %d cases differ", differences, len(cases))
	}
	return nil
}
