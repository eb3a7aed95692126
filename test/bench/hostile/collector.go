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
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	rounds = 5
	// period is the time that each contestant runs in a round.
	period = 2 * time.Second
	// glance is the time that each module runs to find the worst one.
	glance = 200 * time.Millisecond
	// spinning is the approximate duration of a run of the module in plain wazero.
	spinning = 300 * time.Millisecond
)

// collectorWaits are the collector's waits, by the load that ran at the same time.
type collectorWaits struct{ idle, native, attacked, plain figure.Waits }

// holdsLongest finds the module that makes the collector wait longest.
func holdsLongest(ctx context.Context, e *engine.Engine,
	attackers []attacker) (worst attacker, err error) {
	most := -1.0
	for _, a := range attackers {
		guest, err := wapc.Load(ctx, e, a.wasm)
		if err != nil {
			return worst, err
		}
		var waits figure.Waits
		collect(&waits, glance, func() {
			_, _, _ = guest.Validate(ctx, environment, request, []byte(`{}`))
		})
		guest.Close()
		if wait := waits.Quantile(0.99); wait > most {
			most, worst = wait, a
		}
	}
	return worst, nil
}

// measureCollector runs the collector continuously, and on every core in turns: nothing, Go code,
// an attacker, or a module that plain wazero runs without metering.
func measureCollector(ctx context.Context, e *engine.Engine,
	wasm []byte) (waits *collectorWaits, err error) {
	guest, err := wapc.Load(ctx, e, wasm)
	if err != nil {
		return nil, err
	}
	defer guest.Close()
	p, err := newPlain(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.runtime.Close(ctx)) }()
	waits = &collectorWaits{}
	for range rounds {
		collect(&waits.idle, period, nil)
		collect(&waits.native, period, native)
		collect(&waits.attacked, period, func() {
			_, _, _ = guest.Validate(ctx, environment, request, []byte(`{}`))
		})
		collect(&waits.plain, period, func() { p.attack(ctx) })
	}
	if failed := p.failed.Load(); failed != nil {
		return nil, *failed
	}
	if most := waits.plain.Quantile(1); most < spinning.Seconds()/4 {
		return nil, fmt.Errorf(
			"the collector waited for %g s with plain wazero, which ran for %s at a time: there was no attack",
			most, spinning)
	}
	return waits, nil
}

// native is the load that delays the collector the least: Go code, which the runtime can stop at
// every instruction.
func native() {
	sum := 0
	for n := range 100_000_000 {
		sum ^= n
	}
	sink.Store(int64(sum))
}

var sink atomic.Int64

// collect runs the collector for a period, while load runs repeatedly on every core, and adds the
// collector's waits to into.
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

// plain is a module that counts down in an unmodified runtime. Nothing can stop it before it is
// done.
type plain struct {
	runtime wazero.Runtime
	module  api.Module
	// turns is the count that takes about as long as spinning.
	turns uint64
	// failed is why a run was not an attack, or nil.
	failed atomic.Pointer[error]
}

func newPlain(ctx context.Context) (p *plain, err error) {
	p = &plain{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.runtime.Close(ctx))
		}
	}()
	if p.module, err = p.runtime.Instantiate(ctx, spinModule); err != nil {
		return nil, err
	}
	const sample = 10_000_000
	took, err := p.spin(ctx, sample)
	if err != nil {
		return nil, err
	}
	p.turns = uint64(sample * float64(spinning) / float64(took))
	return p, nil
}

// spin makes the module count down, and returns the time that it took.
func (p *plain) spin(ctx context.Context, turns uint64) (time.Duration, error) {
	start := time.Now()
	// Get the function for each call, because a function belongs to one goroutine.
	_, err := p.module.ExportedFunction("spin").Call(ctx, turns)
	return time.Since(start), err
}

// attack is one run. A run that ends too early is not an attack, because the collector's waits
// would say nothing about a runtime without metering.
func (p *plain) attack(ctx context.Context) {
	took, err := p.spin(ctx, p.turns)
	if err == nil && took < spinning/4 {
		err = fmt.Errorf("the module in plain wazero ran for %s, expected about %s", took, spinning)
	}
	if err != nil {
		p.failed.Store(&err)
	}
}
