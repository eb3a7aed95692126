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
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// The table of file descriptors is state like any other.
func TestDescriptorsAreAsTheyWere(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Instances: 1}}, "descriptors", testABI)
	for _, function := range []string{"close", "renumber", "set_flags"} {
		t.Run(function, func(t *testing.T) {
			for range 3 {
				state := &recording{}
				evaluate(t, m, engine.Evaluation{State: state}, func(i *engine.Instance) {
					require.Zero(t, call(t, i, "print", 1))
					require.Zero(t, call(t, i, "print", 2))
					require.Zero(t, call(t, i, "flags", 1))
					call(t, i, function)
				})
				require.Equal(t, "hello\n", state.stdout.String())
				require.Equal(t, "hello\n", state.stderr.String())
			}
		})
	}
}

func TestTheEnvironmentIsEmpty(t *testing.T) {
	m := loadFor(t, engine.Options{}, "environment", testABI)
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		require.Zero(t, call(t, i, "count", 8))
		require.Zero(t, call(t, i, "count", 12))
		require.Zero(t, call(t, i, "get"))
		const fault, end = 21, engine.PageSize
		require.EqualValues(t, fault, call(t, i, "sizes", end, 0))
		require.EqualValues(t, fault, call(t, i, "sizes", 0, end-3))
	})
}

// The host's work for a guest does not pass ticks, so a guest that lets the host do everything may
// not see a tick for minutes.
func TestAnEvaluationEndsWhileTheHostWorks(t *testing.T) {
	for _, function := range []string{"call", "draw", "look", "print", "sleep"} {
		t.Run(function, func(t *testing.T) {
			m := loadFor(t, engine.Options{}, "host-bound", keeperABI)
			ctx, cancel := context.WithCancel(t.Context())
			i, err := m.Acquire(ctx,
				engine.Evaluation{State: func() { cancel() }, Timeout: time.Hour})
			require.NoError(t, err)
			defer i.Release()
			_, err = i.Call(function)
			require.Error(t, err)
			require.Equal(t, engine.CauseCanceled, engine.CauseOf(err))
		})
	}
}

func TestADeadlineEndsALongDraw(t *testing.T) {
	m := loadFor(t, engine.Options{}, "host-bound", keeperABI)
	evaluate(t, m, engine.Evaluation{Timeout: 2 * time.Millisecond}, func(i *engine.Instance) {
		_, err := i.Call("draw_much")
		require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	})
}

func TestTimeAndChanceAreLive(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Instances: 1, Timeout: time.Minute}},
		"chance", keeperABI)
	seen := map[uint64]bool{}
	for range 10 {
		evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
			seen[call(t, i, "draw")] = true
		})
	}
	require.Len(t, seen, 10)

	const wall, monotonic = 0, 1
	i, err := m.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	defer i.Release()
	require.Positive(t, int64(call(t, i, "until_it_moves", wall)))
	require.Positive(t, int64(call(t, i, "until_it_moves", monotonic)))
	before := time.Now().Add(-time.Second).UnixNano()
	require.Greater(t, int64(call(t, i, "time", wall)), before)
}

// Replicas must agree: the snapshot freezes what start functions draw.
func TestStartFunctionsSeeTheSameEverywhere(t *testing.T) {
	type view struct {
		drawn, time uint64
		fuel        int64
	}
	look := func(o engine.Options, wasm []byte) view {
		m, err := newEngine(t, o).Load(t.Context(), wasm, keeperABI)
		require.NoError(t, err)
		defer m.Close()
		i, err := m.Acquire(t.Context(), engine.Evaluation{})
		require.NoError(t, err)
		defer i.Release()
		v := view{drawn: call(t, i, "drawn_at_start"), time: call(t, i, "time_at_start")}
		before := i.Usage().Fuel
		call(t, i, "spend")
		v.fuel = i.Usage().Fuel - before
		return v
	}
	wasm := binary(t, "chance")
	first := look(engine.Options{}, wasm)
	require.NotZero(t, first.drawn)
	require.NotZero(t, first.time)
	require.Positive(t, first.fuel)
	require.Equal(t, first, look(engine.Options{}, wasm))
	require.Equal(t, first, look(engine.Options{Interpreter: true}, wasm))

	// Another module sees other values. An empty custom section makes it another module.
	other := look(engine.Options{}, append(bytes.Clone(wasm), 0, 2, 1, 'x'))
	require.NotEqual(t, first.drawn, other.drawn)
}
