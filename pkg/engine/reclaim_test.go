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
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
	"github.com/wasm-admission/wasm-admission/pkg/engine/internal/memory"
)

// another loads the keeper under a different digest.
func another(t *testing.T, e *engine.Engine, name byte) *engine.Module {
	t.Helper()
	m, err := e.Load(t.Context(), append(bytes.Clone(binary(t, "keeper")), 0, 2, 1, name),
		keeperABI)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// together runs n concurrent evaluations of a module, and calls work during the last.
func together(t *testing.T, m *engine.Module, n int, work func()) {
	t.Helper()
	evaluate(t, m, engine.Evaluation{}, func(*engine.Instance) {
		if n > 1 {
			together(t, m, n-1, work)
		} else if work != nil {
			work()
		}
	})
}

// A module that needs room gives up its own idle instances before those of others, and no more than
// needed.
func TestReclaimTakesNoMoreThanIsNeeded(t *testing.T) {
	// The limit on mappings, which are the same for each instance, has room for seven instances.
	o := engine.Options{
		Limits: engine.Limits{Instances: 8},
	}.Mapping(2 * 7 * engine.InstanceMappings)
	e := newEngine(t, o)
	a, b := another(t, e, 'a'), another(t, e, 'b')
	together(t, a, 3, nil)
	together(t, b, 3, nil)
	require.Equal(t, 6, e.Stats().Idle)

	together(t, b, 5, func() {
		require.Equal(t, 2, e.Stats().Idle,
			"one more than fits, from the other module, which keeps two")
	})
	require.Equal(t, 7, e.Stats().Idle)
	another(t, e, 'c')
	require.Equal(t, 7, e.Stats().Idle, "a new module takes the instance that was idle the longest")
	together(t, b, 5, func() {
		require.Equal(t, 2, e.Stats().Idle, "and each other one keeps its last")
	})
}

// A module loses its last idle instance only if there is no other.
func TestReclaimTakesTheLastLast(t *testing.T) {
	e := newEngine(t,
		engine.Options{Limits: engine.Limits{Instances: 8}}.Mapping(2*5*engine.InstanceMappings))
	oldest, peak := another(t, e, 'a'), another(t, e, 'b')
	together(t, peak, 3, nil)
	another(t, e, 'c')
	another(t, e, 'd')
	require.Equal(t, 5, e.Stats().Idle)
	before := e.Stats().Idle
	evaluate(t, oldest, engine.Evaluation{}, func(*engine.Instance) {
		require.Equal(t, before-1, e.Stats().Idle, "the instance was not made again")
	})
}

func TestMappingsAreLimited(t *testing.T) {
	e := newEngine(t,
		engine.Options{Limits: engine.Limits{Instances: 8}}.Mapping(2*2*engine.InstanceMappings))
	m := another(t, e, 'a')
	require.EqualValues(t, 2*engine.InstanceMappings, e.Stats().MaxMappings)
	require.EqualValues(t, engine.InstanceMappings, e.Stats().Mappings)
	together(t, m, 2, func() {
		_, err := m.Acquire(t.Context(), engine.Evaluation{})
		require.ErrorContains(t, err, "raise the sysctl vm.max_map_count")
		require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
	})
}

// No reset strategy takes more mappings than are counted.
func TestMappingsOfInstancesAreCounted(t *testing.T) {
	maps := func() int {
		text, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Skip("this system does not tell a process's mappings")
		}
		return bytes.Count(text, []byte("\n"))
	}
	const instances = 64
	for _, support := range memory.Probe() {
		t.Run(string(support.Strategy), func(t *testing.T) {
			if support.Err != nil {
				t.Skip(support.Err)
			}
			e := newEngine(t,
				engine.Options{
					Reset:  support.Strategy,
					Limits: engine.Limits{Instances: instances + 1},
				})
			m := another(t, e, 'a')
			before := maps()
			together(t, m, instances+1, nil)
			each := float64(maps()-before) / instances
			t.Logf("%.2f mappings for each instance", each)
			require.LessOrEqual(t, each, float64(engine.InstanceMappings))
		})
	}
}

func TestIdleInstancesAreGivenBackByTime(t *testing.T) {
	var now atomic.Int64
	o := engine.Options{
		Limits: engine.Limits{Instances: 8},
	}.At(func() time.Time { return time.Unix(now.Load(), 0) })
	e := newEngine(t, o)
	m := another(t, e, 'a')
	together(t, m, 4, nil)
	now.Add(int64(engine.IdleTime / time.Second))
	e.TrimIdle()
	require.Equal(t, 4, e.Stats().Idle, "the time is not over yet")
	together(t, m, 2, nil)
	now.Add(1)
	e.TrimIdle()
	require.Equal(t, 2, e.Stats().Idle, "instances used since then stay")
	now.Add(int64(2 * engine.IdleTime / time.Second))
	e.TrimIdle()
	require.Equal(t, 1, e.Stats().Idle, "the last instance stays")
}
