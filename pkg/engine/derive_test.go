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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// marking prepares a keeper guest that holds a mark in all places.
func marking(mark uint64) func(*engine.Instance) error {
	return func(i *engine.Instance) error {
		_, err := i.Call("mark", mark)
		return err
	}
}

func derive(t testing.TB, m *engine.Module, mark uint64) *engine.Derived {
	t.Helper()
	d, err := m.Derive(t.Context(), 0, marking(mark))
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// source is the origin of instances.
type source interface {
	Acquire(context.Context, engine.Evaluation) (*engine.Instance, error)
}

// holds fails unless a source's instance holds a mark everywhere. It then lets an evaluation leave
// other marks and end in a given way. It returns the fuel that the check burned.
func holds(t testing.TB, from source, mark uint64, w way) int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	evaluation := engine.Evaluation{Timeout: w.timeout}
	if w.cancel {
		evaluation.State = func() { cancel() }
	}
	i, err := from.Acquire(ctx, evaluation)
	require.NoError(t, err)
	defer i.Release()
	require.EqualValues(t, places, call(t, i, "marked", mark))
	fuel := i.Usage().Fuel
	require.EqualValues(t, 6*engine.PageSize, i.Usage().MemoryBytes)
	call(t, i, "mark", mark+1)
	require.NoError(t, w.end(i))
	return fuel
}

func TestEvaluationsStartFromWhatWasDerived(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			engineKinds(t, func(t *testing.T, o engine.Options) {
				o.Limits = w.limit
				o.Limits.Instances = 1 // which switches between the two states
				o.Limits.MemoryBytes = 16 * engine.PageSize
				m := loadFor(t, o, "keeper", keeperABI)
				a, b := derive(t, m, 100), derive(t, m, 200)
				fuel := holds(t, a, 100, w)
				require.Equal(t, fuel, holds(t, a, 100, w), "used again")
				require.Equal(t, fuel, holds(t, b, 200, w))
				requirePristine(t, m)
				require.Equal(t, fuel, holds(t, a, 100, w))
			})
		})
	}
}

func TestConcurrentEvaluationsOfManyStates(t *testing.T) {
	const evaluations, workers = 200, 8
	m := loadFor(t, engine.Options{
		Limits: engine.Limits{
			Instances:   3,
			MemoryBytes: 16 * engine.PageSize,
			Timeout:     time.Minute,
		},
	}, "keeper", keeperABI)
	var group sync.WaitGroup
	for worker := range uint64(workers) {
		group.Go(func() {
			for n := range uint64(evaluations) {
				if err := deriveAndLook(m, 1000*worker+n+100); err != nil {
					t.Errorf("worker %d, evaluation %d: %v", worker, n, err)
					return
				}
			}
		})
	}
	group.Wait()
	requirePristine(t, m)
}

// deriveAndLook derives a state, checks it twice, and closes it while it is in use.
func deriveAndLook(m *engine.Module, mark uint64) error {
	d, err := m.Derive(context.Background(), 0, marking(mark))
	if err != nil {
		return err
	}
	defer d.Close()
	for n := range 2 {
		i, err := d.Acquire(context.Background(), engine.Evaluation{})
		if err != nil {
			return err
		}
		if n == 1 {
			d.Close()
		}
		marked, err := i.Call("marked", mark)
		if err == nil && marked != places {
			err = fmt.Errorf("mark in %d places", marked)
		}
		i.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// images counts the image files that the process holds, or returns 0 where images are not files.
func images(t testing.TB) (n int) {
	t.Helper()
	files, _ := filepath.Glob("/proc/self/fd/*")
	for _, file := range files {
		if target, _ := os.Readlink(file); strings.Contains(target, "memfd:wasm-image") {
			n++
		}
	}
	return n
}

func TestDerivedStatesTakeMemoryUntilTheyAreClosed(t *testing.T) {
	engineKinds(t, func(t *testing.T, o engine.Options) {
		e := newEngine(t, o)
		m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
		require.NoError(t, err)
		defer m.Close()
		i, err := m.Acquire(t.Context(), engine.Evaluation{})
		require.NoError(t, err)
		defer i.Release() // so that the evaluations below get another one
		before, files := e.Stats(), images(t)
		for range 3 {
			d := derive(t, m, 100)
			require.EqualValues(t, 6*engine.PageSize, d.MemoryBytes())
			require.GreaterOrEqual(t, e.Stats().MemoryBytes, before.MemoryBytes+6*engine.PageSize)
			holds(t, d, 100, ways[0])
			require.Equal(t, 1, e.Stats().Idle)
			d.Close()
			d.Close()
			require.Equal(t, before, e.Stats())
			require.Equal(t, files, images(t))
		}
	})
}

// The content of a large state is not copied for each instance.
func TestInstancesShareALargeState(t *testing.T) {
	const size = 32 << 20
	e := newEngine(t, engine.Options{Limits: engine.Limits{MemoryBytes: size}})
	if e.Stats().Reset == engine.ResetCopy {
		t.Skip("this system cannot share memory")
	}
	m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	defer m.Close()
	before := e.Stats().MemoryBytes
	d, err := m.Derive(t.Context(), 0, func(i *engine.Instance) error {
		_, err := i.Call("grow", 0) // and writes to each page
		return err
	})
	require.NoError(t, err)
	defer d.Close()
	require.EqualValues(t, size, d.MemoryBytes())
	for range 3 {
		i, err := d.Acquire(t.Context(), engine.Evaluation{})
		require.NoError(t, err)
		call(t, i, "succeed")
		i.Release()
		require.Less(t, e.Stats().MemoryBytes, before+size+1<<20)
	}
}

func TestDerivedStatesAreClosedWhileTheyAreUsed(t *testing.T) {
	e := newEngine(t, engine.Options{})
	m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	defer m.Close()
	files := images(t)
	d := derive(t, m, 100)
	i, err := d.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	d.Close()
	require.EqualValues(t, places, call(t, i, "marked", 100))
	require.Equal(t, 1, e.Stats().InUse)
	i.Release()
	require.Zero(t, e.Stats().Idle, "no evaluation could use the state")
	require.Equal(t, files, images(t))
	_, err = d.Acquire(t.Context(), engine.Evaluation{})
	require.ErrorContains(t, err, "closed")
}

func TestADerivedStateHoldsItsModule(t *testing.T) {
	e := newEngine(t, engine.Options{})
	m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	d := derive(t, m, 100)
	m.Close()
	holds(t, d, 100, ways[0])
	require.Equal(t, 1, e.Stats().Modules)
	d.Close()
	require.Zero(t, e.Stats().Modules)
	require.Zero(t, e.Stats().MemoryBytes)
}

// The limit on instances counts all instances of a module, whatever state they start from.
func TestDerivedStatesShareTheModulesInstances(t *testing.T) {
	m := loadFor(t, engine.Options{Limits: engine.Limits{Instances: 1}}, "keeper", keeperABI)
	d := derive(t, m, 100)
	i, err := d.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	_, err = m.Acquire(t.Context(), engine.Evaluation{Timeout: time.Millisecond})
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	_, err = m.Derive(t.Context(), time.Millisecond, marking(1))
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	i.Release()
	requirePristine(t, m)
}

func TestDerivingFails(t *testing.T) {
	calling := func(function string) func(*engine.Instance) error {
		return func(i *engine.Instance) error {
			_, err := i.Call(function)
			return err
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(*engine.Instance) error
		limits  engine.Limits
		timeout time.Duration
		cause   engine.Cause
		err     string
	}{
		{
			name: "trap", prepare: calling("trap"), cause: engine.CauseUnreachable,
			err: "derive of trap: wasm trap: unreachable",
		},
		{
			name: "stack", prepare: calling("recurse"), timeout: time.Minute,
			cause: engine.CauseStack, err: "derive of recurse: ",
		},
		{
			name: "fuel", prepare: calling("spin"), limits: engine.Limits{Fuel: 1_000_000},
			timeout: time.Minute, cause: engine.CauseFuel, err: "derive of spin: limit exceeded: ",
		},
		{
			name: "time", prepare: calling("spin"), timeout: 20 * time.Millisecond,
			cause: engine.CauseDeadline,
			err:   "derive of spin: guest code interrupted, execution deadline exceeded",
		},
		{
			name: "refusal", prepare: func(*engine.Instance) error { return errRefused },
			cause: engine.CauseAbort, err: errRefused.Error(),
		},
		{
			name: "panic", prepare: func(*engine.Instance) error { panic("oh") },
			cause: engine.CauseAbort, err: "derive: panic: oh",
		},
		{
			name: "no function", prepare: calling("missing"), cause: engine.CauseInvalid,
			err: "derive of missing: module does not export the function",
		},
		{name: "failure that is passed over", cause: engine.CauseAbort,
			err:     "derive: a call has failed",
			prepare: func(i *engine.Instance) error { _, _ = i.Call("trap"); return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEngine(t, engine.Options{Limits: test.limits})
			m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
			require.NoError(t, err)
			defer m.Close()
			before, files := e.Stats().MemoryBytes, images(t)
			_, err = m.Derive(t.Context(), test.timeout, test.prepare)
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, "module "+m.Digest())
			require.Equal(t, test.cause, engine.CauseOf(err))
			require.Equal(t, engine.PhaseDerive, phaseOf(t, err))
			require.LessOrEqual(t, e.Stats().MemoryBytes, before)
			require.Equal(t, files, images(t))
			requirePristine(t, m)
		})
	}
}

func phaseOf(t *testing.T, err error) engine.Phase {
	t.Helper()
	var e *engine.Error
	require.ErrorAs(t, err, &e)
	return e.Phase
}

// A state without a memory budget is refused, and takes no memory.
func TestDerivedStatesAreCounted(t *testing.T) {
	const budget = 2 << 20
	e := newEngine(t, engine.Options{Limits: engine.Limits{PoolBytes: budget}})
	m, err := e.Load(t.Context(), binary(t, "keeper"), keeperABI)
	require.NoError(t, err)
	defer m.Close()
	for n := uint64(1); ; n++ {
		require.Less(t, n, uint64(budget/(4<<12)), "each image holds at least four pages of 4 KiB")
		before, files := e.Stats().MemoryBytes, images(t)
		d, err := m.Derive(t.Context(), 0, marking(100*n))
		if err != nil {
			require.Equal(t, engine.CauseLimit, engine.CauseOf(err))
			require.Equal(t, engine.PhaseStart, phaseOf(t, err), "the policy is not to blame")
			require.LessOrEqual(t, e.Stats().MemoryBytes, before)
			require.Equal(t, files, images(t))
			return
		}
		defer d.Close()
	}
}

func TestDerivingIsCanceled(t *testing.T) {
	m := loadFor(t, engine.Options{}, "keeper", keeperABI)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := m.Derive(ctx, time.Minute, func(i *engine.Instance) error {
		cancel()
		_, err := i.Call("spin")
		return err
	})
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(err))
	requirePristine(t, m)
}

// A derived state must not contain what evaluations must not share.
func TestWhatCannotBeDerived(t *testing.T) {
	lazy := warmedBy("")
	for _, test := range []struct {
		name, binary string
		abi          *engine.ABI
		function     string
		reason       string
	}{
		{"host function", "lazy", lazy, "asks", "the guest asked"},
		{"randomness", "lazy", lazy, "draws", "the guest asked"},
		{"date", "lazy", lazy, "looks", "the guest asked"},
		{"tables", "tables", keeperABI, "mark", "cannot be reset"},
		{"segments", "segments", keeperABI, "mark", "cannot be reset"},
		{"program", "program", programs("run"), "", "programs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := loadFor(t, engine.Options{}, test.binary, test.abi)
			_, err := m.Derive(t.Context(), 0, func(i *engine.Instance) error {
				_, err := i.Call(test.function)
				return err
			})
			require.ErrorIs(t, err, engine.ErrNotDerivable)
			require.ErrorContains(t, err, test.reason)
		})
	}
	t.Run("failure", func(t *testing.T) {
		_, err := loadFor(t, engine.Options{}, "lazy", lazy).
			Derive(t.Context(), 0, func(i *engine.Instance) error {
				_, err := i.Call("traps")
				return err
			})
		require.Error(t, err)
		require.NotErrorIs(t, err, engine.ErrNotDerivable)
	})
}
