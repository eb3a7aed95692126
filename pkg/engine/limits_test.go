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
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
)

func TestFuelIsLimited(t *testing.T) {
	for _, fuel := range []int64{1, 1000, 500_000, 500_001, 3_000_000} {
		m := loadFor(t, engine.Options{Limits: engine.Limits{Fuel: fuel, Timeout: time.Minute}},
			"keeper", keeperABI)
		evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
			_, err := i.Call("spin")
			require.Equal(t, engine.CauseFuel, engine.CauseOf(err))
			var limit *engine.LimitError
			require.ErrorAs(t, err, &limit)
			require.Equal(t, "units of fuel", limit.Limit)
			require.Equal(t, fuel, limit.Max)
			require.Greater(t, limit.Value, fuel)
			require.LessOrEqual(t, limit.Value, fuel+1000, "the cost of the host call")
			require.Equal(t, limit.Value, i.Usage().Fuel)
		})
	}
}

// The fuel budget is for the evaluation, not for each of its calls.
func TestFuelIsCountedOverAllCalls(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Fuel: 4_000_000}}, "keeper", keeperABI)
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		call(t, i, "traces")
		each := i.Usage().Fuel
		require.Less(t, each, int64(4_000_000))
		var err error
		for range 4_000_000/each + 1 {
			if _, err = i.Call("traces"); err != nil {
				break
			}
		}
		require.Equal(t, engine.CauseFuel, engine.CauseOf(err))
	})
}

// Guests pay for a host function's work as they pay for their own instructions.
func TestHostFunctionsBurnFuel(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Fuel: 4_000_000}}, "keeper", keeperABI)
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		before := i.Usage().Fuel
		for _, units := range []int64{-1, 0, 1, 1_000_000} {
			require.NoError(t, i.Burn(units))
		}
		require.Equal(t, before+1_000_001, i.Usage().Fuel)
		err := i.Burn(math.MaxInt64)
		var limit *engine.LimitError
		require.ErrorAs(t, err, &limit)
		require.Equal(t, "units of fuel", limit.Limit)
		_, err = i.Call("spin")
		require.Equal(t, engine.CauseFuel, engine.CauseOf(err))
	})
	evaluate(t, m, engine.Evaluation{Timeout: time.Nanosecond}, func(i *engine.Instance) {
		require.ErrorContains(t, i.Burn(1_000_000), "deadline")
	})
}

func TestMemoryIsLimited(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{MemoryBytes: 16 * engine.PageSize}},
		"keeper", keeperABI)
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		_, err := i.Call("grow", 1)
		require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
		require.ErrorContains(t, err,
			"unreachable (linear memory limit of 1048576 bytes exceeded: 1114112 requested: raise limits.memory)")
		require.EqualValues(t, 16*engine.PageSize, i.Usage().MemoryBytes)
	})
}

func TestTablesAreLimited(t *testing.T) {
	o := engine.Options{Limits: engine.Limits{TableEntries: 1000}}
	_, err := newEngine(t, o).Load(t.Context(), binary(t, "big-table"), keeperABI)
	require.ErrorContains(t, err, "1001")
	require.ErrorContains(t, err, "1000")

	o.Limits.TableEntries = 4
	m := loadFor(t, o, "tables", keeperABI)
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		require.EqualValues(t, 0xffffffff, call(t, i, "grow", 3))
		require.EqualValues(t, 2, call(t, i, "grow", 2))
		require.EqualValues(t, 0xffffffff, call(t, i, "grow", 1))
	})
}

func TestAllPoolsAreLimitedTogether(t *testing.T) {
	// Room for an image and for what a few evaluations write, but not for growth.
	const bytes = 20 * engine.PageSize
	for _, support := range memory.Probe() {
		if support.Err != nil {
			continue
		}
		t.Run(string(support.Strategy), func(t *testing.T) {
			o := engine.Options{
				Reset:  support.Strategy,
				Limits: engine.Limits{PoolBytes: bytes, Instances: 2},
			}
			m := loadFor(t, o, "keeper", keeperABI)
			for range 3 {
				evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
					_, err := i.Call("grow", 1)
					require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
					require.ErrorContains(t, err, "1310720 bytes")
					require.LessOrEqual(t, i.Usage().MemoryBytes, int64(bytes))
				})
				requirePristine(t, m)
			}
		})
	}
	t.Run("load", func(t *testing.T) {
		e := newEngine(t, engine.Options{Limits: engine.Limits{PoolBytes: 2 * engine.PageSize}})
		_, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
		require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
		require.ErrorContains(t, err, "131072 bytes")
	})
}
