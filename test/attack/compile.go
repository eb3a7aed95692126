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
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/weight"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// Bounds on the cost of compiling an accepted module: an allowance for any module, an allowance for
// its size, and a maximum for all sizes.
const (
	cpuAtLeast    = 50 * time.Millisecond
	cpuPerKiB     = 5 * time.Millisecond
	cpuAtMost     = 5 * time.Minute
	memoryAtLeast = 64 << 20
	memoryPerByte = 40
)

var (
	verbose   = flag.Bool("v", false, "print the cost of compiling every module")
	onlyShape = flag.String("shape", "",
		"only compile modules of shapes whose name contains this")
)

// largestModule bounds the modules of the campaign, in bytes. Larger modules only take longer.
const largestModule = 8 << 20

// attackCompiler finds the largest accepted module of each shape, and compiles it and some smaller
// ones.
func attackCompiler(ctx context.Context) (err error) {
	directory, err := os.MkdirTemp("", "attack")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	base, err := inChild(ctx, directory, module(1, 0, code{}).Encode())
	if err != nil {
		return err
	}
	worst := costs{}
	for _, s := range shapes {
		if !strings.Contains(s.name, *onlyShape) {
			continue
		}
		sizes, refusal := accepted(s)
		found, err := measure(ctx, directory, base.RSS, s, sizes)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%-50s cpu %5.2f, rss %5.2f; %s\n", s.name, found.cpu, found.rss,
			refusal)
		worst = costs{
			max(worst.cpu, found.cpu),
			max(worst.rss, found.rss),
			worst.modules + found.modules,
		}
	}
	figure.Print("compile_modules", float64(worst.modules), "modules")
	figure.Print("compile_cpu_over_bound_max", worst.cpu, "ratio")
	figure.Print("compile_rss_over_bound_max", worst.rss, "ratio")
	if worst.cpu > 1 || worst.rss > 1 {
		return errors.New("an accepted module costs more than its size allows")
	}
	return nil
}

// costs are the worst ratios of a module's cost to its bound.
type costs struct {
	cpu, rss float64
	modules  int
}

// measure compiles modules of a shape and returns the worst costs.
func measure(ctx context.Context, directory string, base int64, s shape,
	sizes []int) (worst costs, err error) {
	for _, n := range sizes {
		binary := s.make(n).Encode()
		used, err := inChild(ctx, directory, binary)
		if err != nil {
			return worst, fmt.Errorf("%s, %d: %w", s.name, n, err)
		}
		allowed := min(cpuAtMost, cpuAtLeast+cpuPerKiB*time.Duration(len(binary))/1024)
		worst.cpu = max(worst.cpu, float64(used.CPU)/float64(allowed))
		worst.rss = max(worst.rss,
			float64(used.RSS-base)/float64(memoryAtLeast+memoryPerByte*len(binary)))
		worst.modules++
		if *verbose {
			fmt.Fprintf(os.Stderr, "  %8d: %d bytes, %v, %d MiB\n", n, len(binary), used.CPU,
				(used.RSS-base)>>20)
		}
	}
	return worst, nil
}

// accepted returns about the largest n at which a shape is accepted, some smaller ones, and why
// larger modules are refused.
func accepted(s shape) (sizes []int, refusal string) {
	fits := func(n int) bool {
		binary := s.make(n).Encode()
		if len(binary) > largestModule {
			refusal = "larger modules were not tried"
			return false
		}
		result, err := rewritten(binary)
		var weighed *weight.Weight
		if err == nil {
			weighed, err = result.Weigh()
		}
		if err == nil {
			err = weighed.Check(engine.DefaultLimits.Compilation)
		}
		if err != nil {
			refusal = err.Error()
		}
		return err == nil
	}
	low, high := 1, 2
	for fits(high) {
		low, high = high, 2*high
	}
	for high-low > max(1, low/16) {
		if middle := (low + high) / 2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	for n := low; n > 0 && len(sizes) < 3; n /= 4 {
		sizes = append(sizes, n)
	}
	return sizes, refusal
}
