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

package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
)

// keeperABI is the ABI of the guests that try to keep something. The evaluation's state is what the
// guest's signal calls, if anything.
var keeperABI = &engine.ABI{
	Name:           "keeper",
	Memory:         engine.MemoryImport{Module: "host", Name: "memory"},
	StartFunctions: []string{"_start"},
	HostFunctions: []engine.HostFunction{
		{
			Module: "host", Name: "refuse", Call: func(i *engine.Instance, _ []uint64) {
				i.Abort(errRefused)
			},
		},
		{Module: "host", Name: "signal", Call: func(i *engine.Instance, _ []uint64) {
			if signal, ok := i.State().(func()); ok {
				signal()
			}
		}},
		{Module: "host", Name: "nothing", Call: func(*engine.Instance, []uint64) {}},
	},
	Output: func(*engine.Instance, int, []byte) {},
}

// places is the number of places where the keeper guest leaves its mark.
const places = 9

// way is one way in which an evaluation can end.
type way struct {
	name     string
	function string
	params   []uint64
	// cause is empty for success.
	cause engine.Cause
	limit engine.Limits
	// timeout is the evaluation's timeout.
	timeout time.Duration
	// cancel makes the caller give up as soon as the guest runs.
	cancel bool
	// dropped is whether the engine drops the instance.
	dropped bool
}

var ways = []way{
	{name: "success", function: "succeed"},
	{name: "success after growth to the limit", function: "grow", params: []uint64{0}},
	{name: "trap", function: "trap", cause: engine.CauseUnreachable},
	{
		name: "trap after growth to the limit", function: "grow", params: []uint64{1},
		cause: engine.CauseLimit,
	},
	{
		name: "stack overflow", function: "recurse", cause: engine.CauseStack, timeout: time.Minute,
		dropped: true,
	},
	{
		name: "deadline", function: "spin", cause: engine.CauseDeadline,
		timeout: 150 * time.Millisecond, // long enough for what a busy machine interprets before
	},
	{name: "canceled", function: "spin", cause: engine.CauseCanceled, cancel: true},
	{
		name: "fuel", function: "spin", cause: engine.CauseFuel,
		limit: engine.Limits{Fuel: 1_000_000}, timeout: time.Minute,
	},
	{name: "host function aborts", function: "refused", cause: engine.CauseAbort},
	{name: "exit", function: "exit", cause: engine.CauseExit},
	{name: "exit with success", function: "exit_zero", cause: engine.CauseExit},
}

// end makes an evaluation end that way, and returns an error if it ends otherwise.
func (w way) end(i *engine.Instance) error {
	_, err := i.Call(w.function, w.params...)
	cause := engine.Cause("")
	if err != nil {
		cause = engine.CauseOf(err)
	}
	if cause != w.cause {
		return fmt.Errorf("ended by %q, not %q: %w", cause, w.cause, err)
	}
	return nil
}

// engineKinds runs a test with every reset strategy that the system supports, with compiled and
// with interpreted code.
func engineKinds(t *testing.T, test func(t *testing.T, o engine.Options)) {
	for _, support := range memory.Probe() {
		for _, interpreter := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/interpreter=%v", support.Strategy, interpreter),
				func(t *testing.T) {
					if support.Err != nil {
						t.Skipf("this system does not allow it: %v", support.Err)
					}
					test(t, engine.Options{Reset: support.Strategy, Interpreter: interpreter})
				})
		}
	}
}

func loadFor(t testing.TB, o engine.Options, name string, abi *engine.ABI) *engine.Module {
	t.Helper()
	return loadBinary(t, o, binary(t, name), abi)
}

func loadBinary(t testing.TB, o engine.Options, wasm []byte, abi *engine.ABI) *engine.Module {
	t.Helper()
	m, err := newEngine(t, o).Load(t.Context(), wasm, abi)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

func call(t testing.TB, i *engine.Instance, function string, params ...uint64) uint64 {
	t.Helper()
	result, err := i.Call(function, params...)
	require.NoError(t, err)
	return result
}

// evaluate runs one evaluation.
func evaluate(t testing.TB, m *engine.Module, evaluation engine.Evaluation,
	run func(i *engine.Instance)) {
	t.Helper()
	i, err := m.Acquire(t.Context(), evaluation)
	require.NoError(t, err)
	defer i.Release()
	run(i)
}

// leaveMarks runs an evaluation that writes wherever it can, and ends it.
func leaveMarks(t *testing.T, m *engine.Module, w way) *engine.Instance {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	evaluation := engine.Evaluation{Timeout: w.timeout}
	if w.cancel {
		evaluation.State = func() { cancel() }
	}
	i, err := m.Acquire(ctx, evaluation)
	require.NoError(t, err)
	defer i.Release()
	call(t, i, "mark", 77)
	require.EqualValues(t, places, call(t, i, "marked", 77))
	require.NoError(t, w.end(i))
	return i
}

// requirePristine fails if an evaluation sees anything of an earlier one. It returns the instance
// and the fuel that the check burned.
func requirePristine(t *testing.T, m *engine.Module) (*engine.Instance, int64) {
	t.Helper()
	var used *engine.Instance
	var fuel int64
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		require.Zero(t, call(t, i, "traces"))
		used, fuel = i, i.Usage().Fuel
	})
	return used, fuel
}

func TestNothingOfAnEvaluationReachesTheNext(t *testing.T) {
	keeper := binary(t, "keeper")
	importing := importMemory(t, keeper)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			engineKinds(t, func(t *testing.T, o engine.Options) {
				requireIsolation(t, o, keeper, w)
			})
		})
		t.Run(w.name+", imported memory", func(t *testing.T) {
			engineKinds(t, func(t *testing.T, o engine.Options) {
				requireIsolation(t, o, importing, w)
			})
		})
	}
}

// importMemory makes a module import its memory.
func importMemory(t testing.TB, binary []byte) []byte {
	t.Helper()
	m, err := wasm.Decode(binary)
	require.NoError(t, err)
	from := keeperABI.Memory
	m.Imports = append(m.Imports, wasm.Import{
		Module: from.Module,
		Name:   from.Name,
		Kind:   wasm.ExternMemory,
		Memory: m.Memories[0],
	})
	m.Memories = nil
	return m.Encode()
}

func requireIsolation(t *testing.T, o engine.Options, keeper []byte, w way) {
	t.Helper()
	o.Limits = w.limit
	o.Limits.Instances = 1
	o.Limits.MemoryBytes = 16 * engine.PageSize
	m := loadBinary(t, o, keeper, keeperABI)
	require.Empty(t, m.FreshInstances())
	_, fresh := requirePristine(t, m)
	used := leaveMarks(t, m, w)
	next, again := requirePristine(t, m)
	// A test of isolation that never reuses an instance proves nothing.
	require.Equal(t, w.dropped, next != used)
	require.Equal(t, fresh, again, "an evaluation burns the same fuel whatever ran before")
}

// Later resets involve the pages that a reset leaves mapped, and occasional trimming.
func TestNothingReachesAnyOfManyEvaluations(t *testing.T) {
	engineKinds(t, func(t *testing.T, o engine.Options) {
		const more = 300 // than it takes until an instance is trimmed
		o.Limits.Instances = 1
		o.Limits.MemoryBytes = 16 * engine.PageSize
		m := loadFor(t, o, "keeper", keeperABI)
		for n := range more {
			leaveMarks(t, m, ways[n%4])
			if !o.Interpreter || n%30 == 0 || n > more-3 {
				requirePristine(t, m)
			}
		}
	})
}

func TestNothingReachesConcurrentEvaluations(t *testing.T) {
	const evaluations, workers = 1000, 16
	var rare, frequent []way // by their cost
	for _, w := range ways {
		switch {
		case w.dropped, w.cause == engine.CauseFuel:
			rare = append(rare, w)
		case w.cause != engine.CauseDeadline: // the wait for an instance counts, too
			frequent = append(frequent, w)
		}
	}
	m := loadFor(t, engine.Options{Limits: engine.Limits{
		Instances: 4, MemoryBytes: 16 * engine.PageSize, Fuel: 50_000_000, Timeout: time.Minute,
	}}, "keeper", keeperABI)

	var next, fuel atomic.Int64
	evaluateOne := func(n int64) error {
		w := frequent[rand.IntN(len(frequent))]
		if n%100 == 0 {
			w = rare[n/100%int64(len(rare))]
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		evaluation := engine.Evaluation{}
		if w.cancel {
			evaluation.State = func() { cancel() }
		}
		i, err := m.Acquire(ctx, evaluation)
		if err != nil {
			return err
		}
		defer i.Release()
		if traces, err := i.Call("traces"); traces != 0 || err != nil {
			return fmt.Errorf("traces %b, error %w", traces, err)
		}
		if burnt := i.Usage().Fuel; !fuel.CompareAndSwap(0, burnt) && fuel.Load() != burnt {
			return fmt.Errorf("%d units of fuel, %d before", burnt, fuel.Load())
		}
		mark := uint64(n + 1000)
		if _, err := i.Call("mark", mark); err != nil {
			return err
		}
		if marked, err := i.Call("marked", mark); marked != places || err != nil {
			return fmt.Errorf("mark in %d places, error %w", marked, err)
		}
		if err := w.end(i); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		return nil
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for n := next.Add(1); n <= evaluations; n = next.Add(1) {
				if err := evaluateOne(n); err != nil {
					t.Errorf("evaluation %d: %v", n, err)
				}
			}
		})
	}
	group.Wait()
}

func TestModulesWithMoreStateGetFreshInstances(t *testing.T) {
	for _, name := range []string{"tables", "segments"} {
		for _, interpreter := range []bool{false, true} {
			for _, ending := range []string{"succeed", "trap", "exit"} {
				t.Run(fmt.Sprintf("%s/interpreter=%v/%s", name, interpreter, ending),
					func(t *testing.T) {
						m := loadFor(t,
							engine.Options{
								Interpreter: interpreter,
								Limits:      engine.Limits{Instances: 1},
							}, name, keeperABI)
						require.NotEmpty(t, m.FreshInstances())
						for range 3 {
							evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
								require.EqualValues(t, 1, call(t, i, "pristine"))
								call(t, i, "mark")
								_, err := i.Call(ending)
								require.Equal(t, ending == "succeed", err == nil)
							})
						}
					})
			}
		}
	}
}
