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
	_ "embed"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	rounds = 5
	// period is how long each of the contestants runs in a round.
	period = 2 * time.Second
	// glance is how long each module is looked at to find the worst.
	glance = 200 * time.Millisecond
	// spinning is about how long a run of the module in plain wazero takes.
	spinning = 300 * time.Millisecond
)

// collectorWaits are how long the collector waited, by what ran meanwhile.
type collectorWaits struct{ idle, native, attacked, plain figure.Waits }

// holdsLongest finds the module that has the collector wait for the longest.
func holdsLongest(ctx context.Context, e *engine.Engine, attackers []attacker) (worst attacker, err error) {
	most := -1.0
	for _, a := range attackers {
		guest, err := wapc.Load(ctx, e, a.wasm)
		if err != nil {
			return worst, err
		}
		var waits figure.Waits
		collect(&waits, glance, func() { _, _, _ = guest.Validate(ctx, environment, request, []byte(`{}`)) })
		guest.Close()
		if wait := waits.Quantile(0.99); wait > most {
			most, worst = wait, a
		}
	}
	return worst, nil
}

// measureCollector has the collector run all the time: beside nothing, beside Go
// code, an attacker, or a module that plain wazero runs without metering on every
// core, by turns.
func measureCollector(ctx context.Context, e *engine.Engine, wasm []byte) (*collectorWaits, error) {
	guest, err := wapc.Load(ctx, e, wasm)
	if err != nil {
		return nil, err
	}
	defer guest.Close()
	spin, closeSpin, err := plainSpin(ctx)
	if err != nil {
		return nil, err
	}
	defer closeSpin()
	var waits collectorWaits
	for range rounds {
		collect(&waits.idle, period, nil)
		collect(&waits.native, period, native)
		collect(&waits.attacked, period, func() { _, _, _ = guest.Validate(ctx, environment, request, []byte(`{}`)) })
		collect(&waits.plain, period, spin)
	}
	return &waits, nil
}

// native is what the collector has to wait for least among all that keep a core
// busy: Go code, which the runtime can stop at every instruction.
func native() {
	sum := 0
	for n := range 100_000_000 {
		sum ^= n
	}
	sink.Store(int64(sum))
}

var sink atomic.Int64

// collect runs the collector for a period, while load runs again and again on every
// core, and adds what it waited.
func collect(into *figure.Waits, period time.Duration, load func()) {
	var (
		over  atomic.Bool
		group sync.WaitGroup
	)
	if load != nil {
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() {
				for !over.Load() {
					load()
				}
			})
		}
	}
	before := figure.ReadWaits()
	for start := time.Now(); time.Since(start) < period; {
		runtime.GC()
	}
	into.Add(before, figure.ReadWaits())
	over.Store(true)
	group.Wait()
}

//go:embed spin.wasm
var spinModule []byte

// plainSpin returns a run of a loop in a runtime as it comes, of about the length
// of spinning: nothing could end it earlier.
func plainSpin(ctx context.Context) (run, closeRuntime func(), err error) {
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	closeRuntime = func() { _ = r.Close(ctx) }
	module, err := r.Instantiate(ctx, spinModule)
	if err != nil {
		return nil, nil, errors.Join(err, r.Close(ctx))
	}
	spin := func(turns uint64) error {
		// A function for each call, as they belong to one goroutine each.
		_, err := module.ExportedFunction("spin").Call(ctx, turns)
		return err
	}
	const sample = 10_000_000
	start := time.Now()
	if err := spin(sample); err != nil {
		return nil, nil, errors.Join(err, r.Close(ctx))
	}
	turns := uint64(float64(sample) * float64(spinning) / float64(time.Since(start)))
	return func() { _ = spin(turns) }, closeRuntime, nil
}
