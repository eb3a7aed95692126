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
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

const (
	// manyModules is the number of loaded modules, and manyInstances the number of instances of one
	// module.
	manyModules, manyInstances = 100, 64
	keeperPath                 = "pkg/engine/testdata/keeper.wasm"
)

// measureFootprint measures the memory of modules and instances, and the cost of loading modules
// whose code is on disk. The modules are variants of one module, with different custom sections.
func (b *bench) measureFootprint(binary, settings []byte) (err error) {
	directory, err := os.MkdirTemp("", "bench-engine-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	variants := make([][]byte, manyModules)
	for n := range variants {
		variants[n] = sample.Variant(binary, n)
	}
	m := &meeting{}
	options := engine.Options{
		Compilation:    engine.InProcess,
		CacheDirectory: directory,
		Limits:         engine.Limits{Instances: manyInstances, PoolBytes: 8 << 30},
		Recorder:       m,
	}
	// Load once to compile, and once more so that no memory from compiling is freed during the
	// measurement.
	for range 2 {
		if err := withModules(b.ctx, options, variants, func([]*wapc.Guest) error {
			return nil
		}); err != nil {
			return err
		}
	}
	figure.Print("module_kib", float64(len(binary))/1024, "KiB")

	before, codeBefore, start := figure.ResidentBytes(), codeBytes(), time.Duration(0)
	start = figure.ProcessorTime()
	return withModules(b.ctx, options, variants, func(guests []*wapc.Guest) error {
		figure.Print("warm_cache_100_modules_cpu_ms", milliseconds(figure.ProcessorTime()-start),
			"ms")
		loaded := figure.ResidentBytes()
		figure.Print("rss_per_rust_module_mib", float64(loaded-before)/manyModules/(1<<20), "MiB")
		figure.Print("rss_of_code_per_rust_module_mib",
			float64(codeBytes()-codeBefore)/manyModules/(1<<20), "MiB")
		if err := b.occupy(guests[0], m, settings); err != nil {
			return err
		}
		figure.Print("rss_per_instance_kib",
			float64(figure.ResidentBytes()-loaded)/manyInstances/1024, "KiB")
		return nil
	})
}

// withModules loads modules and passes them to use.
func withModules(ctx context.Context, o engine.Options, modules [][]byte,
	use func([]*wapc.Guest) error) (err error) {
	e, err := engine.New(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var guests []*wapc.Guest
	defer func() {
		for _, g := range guests {
			g.Close()
		}
	}()
	for _, m := range modules {
		g, err := wapc.Load(ctx, e, m)
		if err != nil {
			return err
		}
		guests = append(guests, g)
	}
	return use(guests)
}

// occupy makes a guest create all its instances, and use each of them several times.
func (b *bench) occupy(guest *wapc.Guest, m *meeting, settings []byte) error {
	evaluate := func(times int) error {
		errs := make([]error, manyInstances)
		var group sync.WaitGroup
		for n := range errs {
			group.Go(func() {
				for range times {
					response, _, err := guest.Validate(b.ctx, evaluation.Environment, b.request,
						settings)
					errs[n] = errors.Join(errs[n], decided(response, err))
				}
			})
		}
		group.Wait()
		return errors.Join(errs...)
	}
	m.expect(manyInstances)
	err := evaluate(1)
	m.expect(0)
	return errors.Join(err, evaluate(batch))
}

// meeting makes evaluations wait for each other at their end, so that each one needs its own
// instance.
type meeting struct {
	missing atomic.Pointer[sync.WaitGroup]
}

// expect sets the number of the following evaluations that wait for each other. There must not be
// more evaluations before the next call. With 0, none wait.
func (m *meeting) expect(evaluations int) {
	missing := &sync.WaitGroup{}
	missing.Add(evaluations)
	if evaluations == 0 {
		missing = nil
	}
	m.missing.Store(missing)
}

func (m *meeting) ObserveEvaluation(time.Duration, int64, int64) {
	if missing := m.missing.Load(); missing != nil {
		missing.Done()
		missing.Wait()
	}
}

func (m *meeting) ObserveLoad(_, _ time.Duration)  {}
func (m *meeting) ObserveWait(time.Duration)       {}
func (m *meeting) ObserveDerivation(time.Duration) {}
func (m *meeting) ObserveReset(time.Duration)      {}
func (m *meeting) CountFailure(_, _ string)        {}
func (m *meeting) CountCompilation(string)         {}

// codeBytes returns the resident memory of this process that holds compiled code: executable
// mappings without a file.
func codeBytes() (bytes int64) {
	content, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return 0
	}
	code := false
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && len(fields[1]) == len("r-xp"):
			code = len(fields) == 5 && fields[1] == "r-xp"
		case code && fields[0] == "Rss:":
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			bytes += kib << 10
		}
	}
	return bytes
}

// measureAllocations counts the engine's allocations for an evaluation, without those of the
// calling convention.
func measureAllocations(ctx context.Context) error {
	wasm, err := os.ReadFile(keeperPath)
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	nothing := func(*engine.Instance, []uint64) {}
	module, err := e.Load(ctx, wasm,
		&engine.ABI{Name: "bench", HostFunctions: []engine.HostFunction{
			{Module: "host", Name: "refuse", Call: nothing},
			{Module: "host", Name: "signal", Call: nothing},
			{Module: "host", Name: "nothing", Call: nothing},
		}})
	if err != nil {
		return err
	}
	defer module.Close()
	allocs := testing.AllocsPerRun(1000, func() {
		i, acquireErr := module.Acquire(ctx, engine.Evaluation{})
		if acquireErr != nil {
			err = acquireErr
			return
		}
		_, callErr := i.Call("succeed")
		i.Release()
		err = errors.Join(err, callErr)
	})
	figure.Print("evaluate_allocs", allocs, "allocs")
	return err
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }
