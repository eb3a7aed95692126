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
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

func TestEvaluationsWaitForAnInstance(t *testing.T) {
	const instances, evaluations = 2, 50
	m := loadFor(t, engine.Options{
		Limits: engine.Limits{Instances: instances, Timeout: time.Minute},
	}, "keeper", keeperABI)
	var inUse, served atomic.Int64
	var group sync.WaitGroup
	for range evaluations {
		group.Go(func() {
			i, err := m.Acquire(context.Background(), engine.Evaluation{})
			if err != nil {
				t.Error(err)
				return
			}
			defer i.Release()
			if n := inUse.Add(1); n > instances {
				t.Errorf("%d instances are in use", n)
			}
			defer inUse.Add(-1)
			if _, err := i.Call("succeed"); err != nil {
				t.Error(err)
			}
			served.Add(1)
		})
	}
	group.Wait()
	require.EqualValues(t, evaluations, served.Load())
}

func TestTooManyWaitersAreShed(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Instances: 1, Waiters: 1}}, "keeper",
		keeperABI)
	held, err := m.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	waiter := make(chan error, 1)
	var waited engine.Usage
	go func() {
		for {
			i, err := m.Acquire(context.Background(), engine.Evaluation{Timeout: time.Minute})
			if engine.CauseOf(err) == engine.CauseShed {
				continue // the next one was first
			}
			if err == nil {
				waited = i.Release()
			}
			waiter <- err
			return
		}
	}()
	// Until the other evaluation waits, this one waits instead and times out.
	for {
		_, err = m.Acquire(t.Context(), engine.Evaluation{Timeout: time.Millisecond})
		require.Error(t, err)
		if engine.CauseOf(err) != engine.CauseDeadline {
			break
		}
	}
	require.Equal(t, engine.CauseShed, engine.CauseOf(err))
	require.ErrorContains(t, err,
		"all 1 values are in use and 1 callers are already waiting for one")
	usage := held.Release()
	require.Positive(t, usage.Reset)
	require.NoError(t, <-waiter)
	require.Positive(t, waited.Wait)
}

func TestWaitingEndsWithTheEvaluation(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Instances: 1}}, "keeper", keeperABI)
	held, err := m.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	defer held.Release()
	_, err = m.Acquire(t.Context(), engine.Evaluation{Timeout: time.Millisecond})
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = m.Acquire(ctx, engine.Evaluation{Timeout: time.Hour})
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))

	ctx, cancel = context.WithCancel(t.Context())
	go cancel()
	_, err = m.Acquire(ctx, engine.Evaluation{Timeout: time.Hour})
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(err))
}

// What an instance depends on must not be freed before it.
func TestCloseWaitsForInstances(t *testing.T) {
	m, err := newEngine(t, engine.Options{}).Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	i, err := m.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	var released atomic.Bool
	closed := make(chan bool)
	go func() {
		m.Close()
		closed <- released.Load()
	}()
	require.Zero(t, call(t, i, "traces"))
	released.Store(true)
	i.Release()
	require.True(t, <-closed, "the module was closed before its last instance was released")
}

func TestAnEvaluationHardlyAllocates(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Instances: 1}}, "keeper", keeperABI)
	ctx := t.Context()
	allocations := testing.AllocsPerRun(500, func() {
		i, err := m.Acquire(ctx, engine.Evaluation{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Call("mark", 1); err != nil {
			t.Fatal(err)
		}
		i.Release()
	})
	t.Logf("%v allocations", allocations)
	require.LessOrEqual(t, allocations, 2.0)
}
