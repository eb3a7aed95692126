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

// Command scale measures the cost of a thousand policies that use few modules with different
// settings: what they add to a cold and a warm start and to memory, the cost of a request that
// matches no policy and of one that matches one policy, and the cost of a change of one policy. Run
// it from the root of the repository.
//
// Every measurement runs in its own process, which works like a server: it reads the policies'
// manifests from a directory, loads and serves them, and watches the directory.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

// manyPolicies is the number of policies. They use either fewModules or manyModules modules.
const manyPolicies, fewModules, manyModules = 1000, 10, 300

// starts is the number of warm starts.
const starts = 3

func main() {
	engine.ServeCompilations()
	directory := flag.String("directory", "",
		"measure the policies in a directory; for internal use")
	requests := flag.Bool("requests", false,
		"also measure requests and a change; for internal use")
	flag.Parse()
	ctx := klog.NewContext(context.Background(), logr.Discard())
	work := run
	if *directory != "" {
		work = func(ctx context.Context) error { return measure(ctx, *directory, *requests) }
	}
	if err := work(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// result holds the measurements of one process.
type result struct {
	// Start is the time until the policies were served. Processor is the processor time that this
	// process used for it, without compiler processes.
	Start, Processor time.Duration
	// Resident is the resident memory after the start in bytes, without garbage. WithGarbage
	// includes garbage.
	Resident, WithGarbage int64
	requests
}

func run(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "bench-scale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := sample.WriteModules(directory, manyModules); err != nil {
		return err
	}
	none, err := start(ctx, directory, 0, 1, false)
	if err != nil {
		return err
	}
	alone, err := start(ctx, directory, 1, 1, true)
	if err != nil {
		return err
	}
	few, err := start(ctx, directory, manyPolicies, fewModules, true)
	if err != nil {
		return err
	}
	many, err := start(ctx, directory, manyPolicies, manyModules, false)
	if err != nil {
		return err
	}
	report("scale_1000", none, few)
	report("scale_1000_of_300_modules", none, many)
	figure.Print("scale_no_match_ns", few.warm.NoMatch, "ns")
	figure.Print("scale_one_match_of_1000_us", figure.Microseconds(few.warm.OneMatch), "us")
	figure.Print("scale_one_match_of_1_us", figure.Microseconds(alone.warm.OneMatch), "us")
	figure.Print("scale_reload_of_one_cpu_ms", milliseconds(few.warm.Reload), "ms")
	return nil
}

// processes are the results of a cold start and of a warm start.
type processes struct{ cold, warm *result }

// start repeatedly starts a number of policies that use a number of modules. The last start also
// measures requests.
func start(ctx context.Context, modules string, policies, of int,
	requests bool) (p processes, err error) {
	directory := filepath.Join(modules, fmt.Sprintf("%d-of-%d", policies, of))
	if err := writePolicies(directory, modules, policies, of); err != nil {
		return p, err
	}
	if p.cold, err = process(ctx, directory, false); err != nil {
		return p, err
	}
	for n := range starts {
		next, err := process(ctx, directory, requests && n == starts-1)
		if err != nil {
			return p, err
		}
		if p.warm != nil { // the minimum is the time without other load
			next.Start, next.Processor = min(next.Start, p.warm.Start),
				min(next.Processor, p.warm.Processor)
			next.Resident, next.WithGarbage = min(next.Resident, p.warm.Resident),
				min(next.WithGarbage, p.warm.WithGarbage)
		}
		p.warm = next
	}
	return p, nil
}

// process measures the policies in a directory in a child process.
func process(ctx context.Context, directory string, requests bool) (*result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, "-directory="+directory,
		fmt.Sprintf("-requests=%t", requests))
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("measuring %s: %w", filepath.Base(directory), err)
	}
	r := &result{}
	return r, json.Unmarshal(out, r)
}

// report prints what policies add to a process without policies.
func report(name string, none, p processes) {
	figure.Print(name+"_added_mib", float64(p.warm.Resident-none.warm.Resident)/(1<<20), "MiB")
	figure.Print(name+"_added_with_garbage_mib",
		float64(p.warm.WithGarbage-none.warm.WithGarbage)/(1<<20), "MiB")
	figure.Print(name+"_added_start_cold_ms", milliseconds(p.cold.Start-none.cold.Start), "ms")
	figure.Print(name+"_added_start_warm_ms", milliseconds(p.warm.Start-none.warm.Start), "ms")
	figure.Print(name+"_added_start_warm_cpu_ms",
		milliseconds(p.warm.Processor-none.warm.Processor), "ms")
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
