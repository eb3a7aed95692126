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

// Command hostile measures what the modules in test/wat/hostile can do to the process that runs
// them: how long after its deadline an evaluation ends, and how long the garbage collector waits
// for the world to stop while a module runs on every core. Run it from the root of the repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/wapc"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/test/bench/evaluation"
	"github.com/wasm-admission/wasm-admission/test/bench/figure"
)

const (
	evaluations = 30
	deadline    = 20 * time.Millisecond
)

// The guests attack only on long requests.
var request = []byte(`{"uid":"` + strings.Repeat("x", 200) + `"}`)

var environment = &abi.Environment{Timeout: deadline, Limits: evaluation.Limits}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	e, err := engine.New(engine.Options{
		Compilation: engine.InProcess,
		Limits:      engine.Limits{Timeout: deadline},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	attackers, err := measureOvershoot(ctx, e)
	if err != nil {
		return err
	}
	var all []time.Duration
	for _, a := range attackers {
		all = append(all, a.overshoot...)
	}
	slices.Sort(all)
	slices.SortFunc(attackers, func(a, b attacker) int { return int(b.most() - a.most()) })
	for _, a := range attackers[:min(8, len(attackers))] {
		fmt.Fprintf(os.Stderr, "%-32s %6.1f ms past its deadline, median %6.1f ms\n", a.name,
			milliseconds(a.most()), milliseconds(a.median()))
	}
	figure.Print("hostile_modules", float64(len(attackers)), "modules")
	figure.Print("hostile_overshoot_p99_ms", milliseconds(all[len(all)*99/100]), "ms")
	figure.Print("hostile_overshoot_max_ms", milliseconds(all[len(all)-1]), "ms")

	worst, err := holdsLongest(ctx, e, attackers)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s makes the collector wait longest\n", worst.name)
	waits, err := measureCollector(ctx, e, worst.wasm)
	if err != nil {
		return err
	}
	figure.Print("gc_wait_excess_p999_ms",
		1e3*(waits.attacked.Quantile(0.999)-waits.idle.Quantile(0.999)), "ms")
	figure.Print("gc_wait_excess_native_p999_ms",
		1e3*(waits.native.Quantile(0.999)-waits.idle.Quantile(0.999)), "ms")
	figure.Print("gc_wait_plain_wazero_max_ms", 1e3*waits.plain.Quantile(1), "ms")
	return nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

// attacker is a module that can be loaded, and how long after the deadline each of its evaluations
// ended, including the reset of the instance. It is zero for evaluations that ended before the
// deadline.
type attacker struct {
	name      string
	wasm      []byte
	overshoot []time.Duration
}

func (a attacker) most() time.Duration { return slices.Max(a.overshoot) }

func (a attacker) median() time.Duration {
	return slices.Sorted(slices.Values(a.overshoot))[len(a.overshoot)/2]
}

func measureOvershoot(ctx context.Context, e *engine.Engine) ([]attacker, error) {
	files, err := filepath.Glob("test/wat/hostile/*.wasm")
	if err != nil {
		return nil, err
	}
	var attackers []attacker
	for _, file := range files {
		a := attacker{name: strings.TrimSuffix(filepath.Base(file), ".wasm")}
		if a.wasm, err = os.ReadFile(file); err != nil {
			return nil, err
		}
		guest, err := wapc.Load(ctx, e, a.wasm)
		if err != nil {
			continue // the engine must refuse some modules, as the test of this corpus checks
		}
		for range evaluations {
			start := time.Now()
			// The test of this corpus checks the outcome.
			_, _, _ = guest.Validate(ctx, environment, request, []byte(`{}`))
			a.overshoot = append(a.overshoot, max(0, time.Since(start)-deadline))
		}
		guest.Close()
		attackers = append(attackers, a)
	}
	if len(attackers) == 0 {
		return nil, fmt.Errorf(
			"no module in test/wat/hostile can be loaded: run this from the root of the repository")
	}
	return attackers, nil
}
