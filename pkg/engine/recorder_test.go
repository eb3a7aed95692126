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
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// notes is a Recorder that keeps everything.
type notes struct {
	mu                                             sync.Mutex
	loads, waits, evaluations, resets, derivations int
	fuel, memoryBytes                              int64
	failures, compilations                         map[string]int
}

var _ engine.Recorder = &notes{}

func (n *notes) note(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *notes) ObserveLoad(_, _ time.Duration)  { n.note(func() { n.loads++ }) }
func (n *notes) ObserveWait(time.Duration)       { n.note(func() { n.waits++ }) }
func (n *notes) ObserveReset(time.Duration)      { n.note(func() { n.resets++ }) }
func (n *notes) ObserveDerivation(time.Duration) { n.note(func() { n.derivations++ }) }
func (n *notes) CountCompilation(result string) {
	n.note(func() {
		if n.compilations == nil {
			n.compilations = map[string]int{}
		}
		n.compilations[result]++
	})
}
func (n *notes) CountFailure(phase, cause string) {
	n.note(func() { n.failures[phase+" "+cause]++ })
}
func (n *notes) ObserveEvaluation(_ time.Duration, fuel, memoryBytes int64) {
	n.note(func() {
		n.evaluations, n.fuel, n.memoryBytes = n.evaluations+1, n.fuel+fuel,
			max(n.memoryBytes, memoryBytes)
	})
}

func TestTheRecorderIsTold(t *testing.T) {
	n := &notes{failures: map[string]int{}}
	o := engine.Options{
		Recorder: n,
		Limits:   engine.Limits{Instances: 1, MemoryBytes: 16 * engine.PageSize},
	}
	m := loadFor(t, o, "keeper", keeperABI)
	require.Equal(t, 1, n.loads)
	require.Zero(t, n.evaluations, "start functions and warming up are not evaluations")

	evaluate(t, m, engine.Evaluation{}, func(i *engine.Instance) { call(t, i, "grow", 0) })
	require.Equal(t, 1, n.evaluations)
	require.Equal(t, 1, n.resets)
	require.Positive(t, n.fuel)
	require.EqualValues(t, 16*engine.PageSize, n.memoryBytes)
	require.Zero(t, n.waits, "an instance was ready")
	require.Empty(t, n.failures)

	leaveMarks(t, m, ways[2])
	require.Equal(t, map[string]int{"call unreachable": 1}, n.failures)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Acquire(canceled, engine.Evaluation{})
	require.Error(t, err)
	require.Equal(t, 1, n.failures["start canceled"])

	evaluate(t, m, engine.Evaluation{}, func(*engine.Instance) {
		_, err := m.Acquire(t.Context(), engine.Evaluation{Timeout: time.Millisecond})
		require.Error(t, err)
	})
	require.Equal(t, 1, n.waits)
	require.Equal(t, 1, n.failures["start deadline"])

	before := n.evaluations
	derive(t, m, 100)
	require.Equal(t, 1, n.derivations)
	_, err = m.Derive(t.Context(), 0, func(i *engine.Instance) error {
		_, err := i.Call("trap")
		return err
	})
	require.Error(t, err)
	require.Equal(t, 1, n.failures["derive unreachable"])
	require.Equal(t, before, n.evaluations, "deriving is not an evaluation")
}

func TestStats(t *testing.T) {
	e := newEngine(t, engine.Options{Limits: engine.Limits{Instances: 2}})
	empty := e.Stats()
	require.Equal(t, engine.Stats{Reset: empty.Reset, MaxMappings: empty.MaxMappings}, empty)
	m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	require.Equal(t, 1, e.Stats().Idle, "an instance is ready before the first evaluation")
	evaluate(t, m, engine.Evaluation{}, func(*engine.Instance) {
		s := e.Stats()
		require.Equal(t, []int{1, 1, 0, 0}, []int{s.Modules, s.InUse, s.Idle, s.Waiting})
		require.Greater(t, s.MemoryBytes, uint64(7*len(binary(t, "keeper"))), "the code counts")
	})
	m.Close()
	require.Zero(t, e.Stats().MemoryBytes)
	require.Zero(t, e.Stats().Mappings)
}

// A module's idle instances make room for another module.
func TestIdleInstancesMakeRoom(t *testing.T) {
	// With the copy strategy, an idle instance takes as much as its memory's length.
	o := engine.Options{Reset: engine.ResetCopy, Limits: engine.Limits{Instances: 4}}
	e := newEngine(t, o)
	idle, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	one := e.Stats().MemoryBytes
	idle.Close()

	o.Limits.PoolBytes = int64(2*one + engine.PageSize)
	e = newEngine(t, o)
	idle, err = e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	defer idle.Close()
	require.Equal(t, 1, e.Stats().Idle)
	busy, err := e.Load(t.Context(), append(bytes.Clone(binary(t, "keeper")), 0, 2, 1, 'x'),
		keeperABI)
	require.NoError(t, err)
	defer busy.Close()
	evaluate(t, busy, engine.Evaluation{}, func(*engine.Instance) {
		// A second instance does not fit beside the other module's.
		evaluate(t, busy, engine.Evaluation{}, func(i *engine.Instance) { call(t, i, "succeed") })
	})
	require.Equal(t, 2, e.Stats().Idle)
}

func TestSpareInstancesHoldNoPages(t *testing.T) {
	const instances = 8
	// held returns the size of that many idle instances after each was called.
	held := func(processors int, function string, params ...uint64) uint64 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		e := newEngine(t, engine.Options{Limits: engine.Limits{Instances: instances}})
		if e.Stats().Reset == engine.ResetCopy {
			t.Skip("all pages of an instance are private")
		}
		m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
		require.NoError(t, err)
		defer m.Close()
		before := e.Stats().MemoryBytes
		together := func(i *engine.Instance) { call(t, i, function, params...) }
		for range instances - 1 {
			others := together
			together = func(i *engine.Instance) {
				call(t, i, function, params...)
				evaluate(t, m, engine.Evaluation{}, others)
			}
		}
		evaluate(t, m, engine.Evaluation{}, together)
		require.Equal(t, instances, e.Stats().Idle)
		return e.Stats().MemoryBytes - before
	}
	// pages returns the part of it in pages of memory: a guest that only calls traces writes none.
	pages := func(processors int) uint64 {
		return held(processors, "mark", 1) - held(processors, "traces")
	}
	one := pages(1)
	require.Positive(t, one)
	require.Equal(t, instances*one, pages(instances))
}
