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

// Command soak sends many requests to a real apiserver while its policies change. It fails if a
// single response is wrong or missing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/soak/reload"
)

func main() {
	requests := flag.Int("requests", 100_000, "number of requests")
	flag.Parse()
	if err := run(context.Background(), *requests); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, requests int) (err error) {
	modules, err := os.MkdirTemp("", "wasm-admission-soak-modules-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(modules)) }()
	files, err := filepath.Glob("test/wat/*.wasm")
	if err != nil || len(files) == 0 {
		return errors.Join(err, errors.New("run this from the root of the repository"))
	}
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		err = os.WriteFile(filepath.Join(modules, filepath.Base(file)), wasm, 0o600)
		if err != nil {
			return err
		}
	}
	report, err := reload.Run(ctx,
		reload.Options{Requests: requests, Clients: 8, Changes: 20, Modules: modules})
	if err != nil {
		return err
	}
	figure.Print("reload_requests", float64(report.Requests), "requests")
	figure.Print("reload_wrong", float64(report.Wrong), "requests")
	figure.Print("reload_lost", float64(report.Lost), "requests")
	figure.Print("reload_settings_ms_p99",
		float64(reload.Percentile(report.Settings, 99))/float64(time.Millisecond), "ms")
	fmt.Printf(
		"%d verdicts are of set 1 and %d of set 2; %d changes, %d of them bad; %d of settings alone, in %v each as the median\n",
		report.Sets[0], report.Sets[1], report.Changes, report.Bad, len(report.Settings),
		reload.Percentile(report.Settings, 50))
	if report.Wrong+report.Lost > 0 {
		return fmt.Errorf("%d responses are wrong and %d are missing: %q", report.Wrong, report.Lost,
			report.Examples)
	}
	return nil
}
