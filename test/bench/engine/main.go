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

// Command engine measures the processor time of an evaluation that is metered, has a deadline, and
// uses an instance that is reset. It compares the time with plain wazero, which does none of this.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/enginetest"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

// guests are the policies, with their languages.
var guests = []struct{ language, path, settings string }{
	{"rust", "test/policies/pod-privileged/policy.wasm", `{}`},
	{"go", "bin/policies/required-labels.wasm", `{"labels":{"app":".+"}}`},
	{"as", "test/policies/allowed-registries/policy.wasm",
		`{"registries":["registry.example.com"]}`},
	{"c", "test/policies/no-latest-tag/policy.wasm", `{}`},
}

const (
	// footprintPath is the module whose variants are loaded.
	footprintPath     = "test/policies/image-pattern/policy.wasm"
	footprintSettings = `{"images":[".+"]}`
	rounds, batch     = 15, 20
)

// rewriteOptions keep data and the start function in the module, so that it also runs without the
// engine.
var rewriteOptions = enginetest.Options{
	TickModule: "bench", TickName: "tick", ExportPrefix: "bench.",
	MemoryMaxPages: wasm.MaxMemoryPages, TableMaxEntries: engine.DefaultLimits.TableEntries,
}

func main() {
	footprint := flag.Bool("footprint", false,
		"only measure the loading time and the memory of modules")
	flag.Parse()
	if err := run(context.Background(), *footprint); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, footprint bool) error {
	request, err := evaluation.Request()
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, request: request}
	defer b.close()
	if !footprint {
		if err := b.measureEvaluations(); err != nil {
			return err
		}
	}
	binary, err := os.ReadFile(footprintPath)
	if err != nil {
		return err
	}
	return b.measureFootprint(binary, []byte(footprintSettings))
}

// measureEvaluations measures the evaluations and the rewriting of every guest.
func (b *bench) measureEvaluations() error {
	for _, support := range enginetest.ResetSupports() {
		if support.Err != nil {
			fmt.Fprintf(os.Stderr, "engine: not measured: %s: %v\n", support.Strategy, support.Err)
			continue
		}
		if err := b.addEngine(support.Strategy); err != nil {
			return err
		}
	}
	for _, g := range guests {
		binary, err := os.ReadFile(g.path)
		if err != nil {
			return fmt.Errorf("run this from the root of the repository, after make policies: %w",
				err)
		}
		if err := b.measure(g.language, binary, []byte(g.settings)); err != nil {
			return fmt.Errorf("%s: %w", g.path, err)
		}
	}
	return measureAllocations(b.ctx)
}

// bench has an engine for each way to reset memory, with the default first.
type bench struct {
	ctx     context.Context
	request []byte
	ways    []engine.ResetStrategy
	engines []*engine.Engine
}

func (b *bench) addEngine(way engine.ResetStrategy) error {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess, Reset: way})
	if err == nil {
		b.ways, b.engines = append(b.ways, way), append(b.engines, e)
	}
	return err
}

func (b *bench) close() {
	for _, e := range b.engines {
		if err := e.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "engine:", err)
		}
	}
}

func (b *bench) measure(language string, binary, settings []byte) (err error) {
	base, err := newPlain(b.ctx, binary)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, base.runtime.Close(b.ctx)) }()
	rewritten, err := enginetest.Rewrite(binary, rewriteOptions)
	if err != nil {
		return err
	}
	charged, err := newPlain(b.ctx, rewritten.Module)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, charged.runtime.Close(b.ctx)) }()
	contestants := []func() error{
		func() error { return decided(base.validate(b.ctx, b.request, settings)) },
		func() error { return decided(charged.validate(b.ctx, b.request, settings)) },
	}
	for _, e := range b.engines {
		guest, err := wapc.Load(b.ctx, e, binary)
		if err != nil {
			return err
		}
		defer guest.Close()
		contestants = append(contestants, func() error {
			response, _, err := guest.Validate(b.ctx, evaluation.Environment, b.request, settings)
			return decided(response, err)
		})
	}
	cpu, _, err := figure.Interleave(rounds, batch, contestants...)
	if err != nil {
		return err
	}
	plain, metered, isolated := cpu[0], cpu[1], cpu[2:]
	figure.Print(language+"_us", figure.Microseconds(isolated[0]), "us")
	figure.Print(language+"_plain_us", figure.Microseconds(plain), "us")
	figure.Print(language+"_metered_us", figure.Microseconds(metered), "us")
	figure.Print(language+"_added_us", figure.Microseconds(isolated[0]-plain), "us")
	figure.Print(language+"_ratio", float64(isolated[0])/float64(plain), "x")
	for n, way := range b.ways {
		figure.Print(fmt.Sprintf("%s_us_%s", language, way), figure.Microseconds(isolated[n]), "us")
	}
	evaluate := contestants[2]
	figure.Print(language+"_allocs",
		testing.AllocsPerRun(batch, func() { err = errors.Join(err, evaluate()) }), "allocs")
	if err != nil {
		return err
	}
	if err := measureCold(language, evaluate); err != nil {
		return err
	}
	if err := measureScaling(language, evaluate); err != nil {
		return err
	}
	return b.measureRewrite(language, binary)
}

// measureCold measures an evaluation that finds neither its code nor its memory in the processor's
// caches, as in a server that does much else between two requests.
func measureCold(language string, call func() error) error {
	const cacheLine = 64
	var all []time.Duration
	others := make([]byte, 64<<20) // more than the caches hold
	for range rounds * batch {
		for n := 0; n < len(others); n += cacheLine {
			others[n]++
		}
		start := figure.ProcessorTime()
		if err := call(); err != nil {
			return err
		}
		all = append(all, figure.ProcessorTime()-start)
	}
	slices.Sort(all)
	figure.Print(language+"_cold_us", figure.Microseconds(all[len(all)/2]), "us")
	return nil
}

// measureScaling measures how many more evaluations two goroutines complete than one.
func measureScaling(language string, call func() error) error {
	alone := func() error {
		for range batch {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	}
	both := func() error {
		errs := make([]error, 2)
		var group sync.WaitGroup
		for n := range errs {
			group.Go(func() { errs[n] = alone() })
		}
		group.Wait()
		return errors.Join(errs...)
	}
	if err := both(); err != nil { // creates the second instance
		return err
	}
	_, wall, err := figure.Interleave(rounds, 1, alone, both)
	if err != nil {
		return err
	}
	figure.Print(language+"_scaling_1_to_2", 2*float64(wall[0])/float64(wall[1]), "x")
	return nil
}

// measureRewrite measures the share of rewriting in the time to compile a module.
func (b *bench) measureRewrite(language string, binary []byte) error {
	rewritten, err := enginetest.Rewrite(binary, rewriteOptions)
	if err != nil {
		return err
	}
	cpu, _, err := figure.Interleave(3, 1,
		func() error {
			_, err := enginetest.Rewrite(binary, rewriteOptions)
			return err
		},
		func() error {
			runtime := wazero.NewRuntime(b.ctx)
			_, err := runtime.CompileModule(b.ctx, rewritten.Module)
			return errors.Join(err, runtime.Close(b.ctx))
		})
	if err != nil {
		return err
	}
	figure.Print(language+"_rewrite_share_of_compile", float64(cpu[0])/float64(cpu[0]+cpu[1]), "x")
	return nil
}

// decided returns an error if an evaluation gave no verdict.
func decided(response *abi.ValidationResponse, err error) error {
	if err == nil && response == nil {
		err = errors.New("no response")
	}
	return err
}
