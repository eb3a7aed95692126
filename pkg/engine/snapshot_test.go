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
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// warmedBy returns the ABI of guests that are warmed up by a call of function, which returns zero
// for success. Several functions are several ways to warm up.
func warmedBy(functions ...string) *engine.ABI {
	abi := &engine.ABI{
		Name:       "lazy",
		StartState: func() any { return nil },
		HostFunctions: []engine.HostFunction{
			{
				Module: "host", Name: "ask", External: true,
				Call: func(*engine.Instance, []uint64) {},
			},
		},
	}
	for _, function := range functions {
		abi.WarmUps = append(abi.WarmUps, func(i *engine.Instance) error {
			result, err := i.Call(function)
			if err == nil && result != 0 {
				err = errors.New("guest failed")
			}
			return err
		})
	}
	return abi
}

func fuelOf(t *testing.T, m *engine.Module, function string) int64 {
	t.Helper()
	var fuel int64
	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
		call(t, i, function)
		fuel = i.Usage().Fuel
	})
	return fuel
}

// The snapshot must include the guest's one-time work, unless the warm-up also left something there
// that must not be shared.
func TestWhereTheSnapshotIsTaken(t *testing.T) {
	cold := fuelOf(t, loadFor(t, engine.Options{}, "lazy", warmedBy()), "lazy")
	require.Greater(t, cold, int64(10_000))
	for _, test := range []struct {
		warmUp string
		warm   bool
	}{
		{"lazy", true},
		{"waits", true},
		{"sleeps", true},
		{"asks", false},
		{"traps", false},
		{"fails", false},
		{"draws", false},
		{"looks", false},
		{"missing", false},
	} {
		for _, interpreter := range []bool{false, true} {
			t.Run(test.warmUp, func(t *testing.T) {
				m := loadFor(t, engine.Options{Interpreter: interpreter}, "lazy",
					warmedBy(test.warmUp))
				for range 3 {
					fuel := fuelOf(t, m, "lazy")
					if test.warm {
						require.Less(t, fuel, int64(100))
					} else {
						require.Equal(t, cold, fuel)
					}
				}
			})
		}
	}
}

// The guest's monotonic clock never goes back, not even across the snapshot. Before the snapshot,
// it advances with each read.
func TestTheClockGoesOn(t *testing.T) {
	m := loadFor(t, engine.Options{}, "lazy", warmedBy("sleeps"))
	for range 3 {
		evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
			const slept = 10 * time.Minute
			first := call(t, i, "time")
			require.Greater(t, first, uint64(slept))
			require.GreaterOrEqual(t, call(t, i, "time"), first)
		})
	}
}

// A guest for which every further round is more expensive starts before the first round.
func TestTheCheapestSnapshotWins(t *testing.T) {
	cold := fuelOf(t, loadFor(t, engine.Options{}, "lazy", warmedBy()), "tires")
	require.Equal(t, cold,
		fuelOf(t, loadFor(t, engine.Options{}, "lazy", warmedBy("tires")), "tires"))
}

// A way to warm up that leaves a state that must not be shared leaves nothing to the next way.
func TestTheNextWayToWarmUp(t *testing.T) {
	for _, first := range []string{"asks", "traps", "fails", "draws", "looks", "missing"} {
		m := loadFor(t, engine.Options{}, "lazy", warmedBy(first, "lazy"))
		require.Less(t, fuelOf(t, m, "lazy"), int64(100), first)
		evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) {
			require.Positive(t, call(t, i, "time"), first)
		})
	}
	cold := fuelOf(t, loadFor(t, engine.Options{}, "lazy", warmedBy()), "lazy")
	m := loadFor(t, engine.Options{}, "lazy", warmedBy("traps", "asks"))
	require.Equal(t, cold, fuelOf(t, m, "lazy"))
}

// An ABI may omit what only guests of other ABIs need.
func TestWarmingUpNeedsNoState(t *testing.T) {
	abi := warmedBy("lazy")
	abi.StartState = nil
	require.Less(t, fuelOf(t, loadFor(t, engine.Options{}, "lazy", abi), "lazy"), int64(100))
}

// An instance that a rare call made large, or that is new, behaves no differently.
func TestFuelIsTheSameEverywhere(t *testing.T) {
	var fuel int64
	for n, o := range []engine.Options{{}, {}, {Interpreter: true},
		{Limits: engine.Limits{MemoryBytes: 8 * engine.PageSize}}} {
		m := loadFor(t, o, "keeper", keeperABI)
		first, err := m.Acquire(t.Context(), engine.Evaluation{})
		require.NoError(t, err)
		second, err := m.Acquire(t.Context(), engine.Evaluation{})
		require.NoError(t, err)
		require.NotSame(t, first, second)
		for _, i := range []*engine.Instance{first, second} {
			call(t, i, "traces")
			if fuel == 0 {
				fuel = i.Usage().Fuel
			}
			require.Equal(t, fuel, i.Usage().Fuel, "options %d", n)
			i.Release()
		}
	}
	require.Positive(t, fuel)
}
