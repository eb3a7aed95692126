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

// Command load measures the time to load 100 modules: compiled in child processes and in the
// process itself, in turns, and with their code on disk. Run it from the root of the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
	"github.com/wasm-admission/wasm-admission/test/bench/sample"
)

const (
	manyModules = 100
	rounds      = 5
	modulePath  = "test/policies/pod-privileged/policy.wasm"
)

func main() {
	engine.ServeCompilations()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	binary, err := os.ReadFile(modulePath)
	if err != nil {
		return fmt.Errorf("run this from the root of the repository: %w", err)
	}
	b := &bench{}
	for n := range manyModules {
		b.modules = append(b.modules, sample.Variant(binary, n))
	}
	if b.directory, err = os.MkdirTemp("", "bench-load-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.directory)) }()

	_, cold, err := figure.Interleave(rounds, 1,
		func() error { return b.cold(ctx, engine.InProcess) },
		func() error { return b.cold(ctx, engine.ChildProcesses) })
	if err != nil {
		return err
	}
	figure.Print("cold_100_modules_in_process_ms", milliseconds(cold[0]), "ms")
	figure.Print("cold_100_modules_children_ms", milliseconds(cold[1]), "ms")
	figure.Print("cold_100_modules_ratio", float64(cold[1])/float64(cold[0]), "ratio")

	_, warm, err := figure.Interleave(rounds, 1,
		func() error { return b.warm(ctx, engine.InProcess) },
		func() error { return b.warm(ctx, engine.ChildProcesses) })
	if err != nil {
		return err
	}
	figure.Print("warm_100_modules_in_process_ms", milliseconds(warm[0]), "ms")
	figure.Print("warm_100_modules_children_ms", milliseconds(warm[1]), "ms")
	figure.Print("warm_100_modules_ratio", float64(warm[1])/float64(warm[0]), "ratio")
	return nil
}

type bench struct {
	modules   [][]byte
	directory string
	starts    int
}

// cold loads all modules for the first time.
func (b *bench) cold(ctx context.Context, where engine.Compilation) error {
	b.starts++
	return b.load(ctx, where, filepath.Join(b.directory, fmt.Sprint(b.starts)), manyModules)
}

// warm loads all modules from the directory into which they were last compiled.
func (b *bench) warm(ctx context.Context, where engine.Compilation) error {
	return b.load(ctx, where, filepath.Join(b.directory, fmt.Sprint(b.starts)), 0)
}

// load loads all modules, as many at a time as there are processors, as for a set of policies. It
// fails unless the expected number of modules was compiled.
func (b *bench) load(ctx context.Context, where engine.Compilation, directory string,
	compiled int) (err error) {
	var count counter
	e, err := engine.New(engine.Options{
		Compilation:    where,
		CacheDirectory: directory,
		Recorder:       &count,
		Limits:         engine.Limits{PoolBytes: 8 << 30},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	guests := make([]*wapc.Guest, len(b.modules))
	defer func() {
		for _, g := range guests {
			if g != nil {
				g.Close()
			}
		}
	}()
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for n, module := range b.modules {
		group.Go(func() (err error) {
			guests[n], err = wapc.Load(ctx, e, module)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if got := int(count.compiled.Load()); got != compiled {
		return fmt.Errorf("%d modules were compiled, expected %d", got, compiled)
	}
	if compilers := e.Stats().Compilers; compiled == 0 && compilers > 0 {
		return fmt.Errorf("%d compiler processes were started although nothing was to be compiled", compilers)
	}
	return nil
}

// counter counts compiled modules.
type counter struct{ compiled atomic.Int64 }

func (c *counter) CountCompilation(string)                     { c.compiled.Add(1) }
func (*counter) ObserveLoad(_, _ time.Duration)                {}
func (*counter) ObserveWait(time.Duration)                     {}
func (*counter) ObserveEvaluation(_ time.Duration, _, _ int64) {}
func (*counter) ObserveDerivation(time.Duration)               {}
func (*counter) ObserveReset(time.Duration)                    {}
func (*counter) CountFailure(_, _ string)                      {}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
