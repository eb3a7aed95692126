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
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// recording is the state of the evaluations in these tests.
type recording struct{ stdout, stderr bytes.Buffer }

var errRefused = errors.New("the host refuses")

var testABI = &engine.ABI{
	Name:           "test",
	StartFunctions: []string{"_start"},
	HostFunctions: []engine.HostFunction{
		{
			Module: "host", Name: "add",
			Params:  []engine.ValueType{engine.I32, engine.I32},
			Results: []engine.ValueType{engine.I32},
			Call:    func(_ *engine.Instance, stack []uint64) { stack[0] += stack[1] },
		},
		{
			Module: "host", Name: "refuse",
			Call: func(i *engine.Instance, _ []uint64) { i.Abort(errRefused) },
		},
	},
	Output: func(i *engine.Instance, fd int, p []byte) {
		if state, ok := i.State().(*recording); ok {
			[]*bytes.Buffer{&state.stdout, &state.stderr}[fd-1].Write(p)
		}
	},
}

func binary(t testing.TB, name string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("testdata", name+".wasm"))
	require.NoError(t, err)
	return wasm
}

// newEngine returns an engine that compiles in the test's own process by default.
func newEngine(t testing.TB, o engine.Options) *engine.Engine {
	t.Helper()
	o.Compilation = cmp.Or(o.Compilation, engine.InProcess)
	e, err := engine.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func load(t testing.TB, o engine.Options, name string) *engine.Module {
	t.Helper()
	m, err := newEngine(t, o).Load(t.Context(), binary(t, name), testABI)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

func TestCallsEndAsTheyShould(t *testing.T) {
	const soon = 10 * time.Millisecond
	for _, test := range []struct {
		function string
		params   []uint64
		timeout  time.Duration
		result   uint64
		cause    engine.Cause
		err      string
	}{
		{function: "count", result: 1},
		{function: "sum", params: []uint64{40, 2}, result: 42},
		{function: "grow", params: []uint64{1}, result: 1},
		{function: "grow", params: []uint64{64}, result: 0xffffffff},
		{
			function: "trap", cause: engine.CauseUnreachable,
			err: "call of trap: wasm trap: unreachable",
		},
		{
			function: "divide", cause: engine.CauseArithmetic,
			err: "call of divide: wasm trap: integer divide by zero",
		},
		{
			function: "outside", cause: engine.CauseMemory,
			err: "call of outside: wasm trap: out of bounds memory access",
		},
		{
			function: "recurse", timeout: time.Minute, cause: engine.CauseStack,
			err: "call of recurse: stack overflow: limit exceeded: 1008 bytes of stack, at most 1000 are allowed: raise limits.stack",
		},
		{
			function: "exit", cause: engine.CauseExit,
			err: "call of exit: guest exited with status 3",
		},
		{function: "refused", cause: engine.CauseAbort, err: "call of refused: the host refuses"},
		{
			function: "spin", timeout: soon, cause: engine.CauseDeadline,
			err: "call of spin: guest code interrupted, execution deadline exceeded: context deadline exceeded",
		},
		{
			function: "missing", cause: engine.CauseInvalid,
			err: "call of missing: module does not export the function",
		},
		{
			function: "sum", params: []uint64{1}, cause: engine.CauseInvalid,
			err: "call of sum: function has 2 parameters and 1 results, but the host calls it with 1 parameters and expects at most 1 result",
		},
	} {
		t.Run(test.function, func(t *testing.T) {
			m := load(t, engine.Options{
				Limits: engine.Limits{MemoryBytes: 64 * engine.PageSize, StackBytes: 1000},
			}, "guest")
			i, err := m.Acquire(t.Context(), engine.Evaluation{Timeout: test.timeout})
			require.NoError(t, err)
			defer i.Release()
			result, err := i.Call(test.function, test.params...)
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, test.result, result)
				return
			}
			require.EqualError(t, err, "module "+m.Digest()+": "+test.err)
			require.Equal(t, test.cause, engine.CauseOf(err))
			var e *engine.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, engine.PhaseCall, e.Phase)
			require.Equal(t, test.function, e.Function)
		})
	}
}

func TestAbortKeepsTheHostFunctionsError(t *testing.T) {
	i, err := load(t, engine.Options{}, "guest").Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	defer i.Release()
	_, err = i.Call("refused")
	require.ErrorIs(t, err, errRefused)
}

func TestACanceledContextEndsAnEvaluation(t *testing.T) {
	m := load(t, engine.Options{}, "guest")
	ctx, cancel := context.WithCancel(t.Context())
	i, err := m.Acquire(ctx, engine.Evaluation{Timeout: time.Hour})
	require.NoError(t, err)
	defer i.Release()
	cancel()
	_, err = i.Call("spin")
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(err))
	require.ErrorIs(t, err, context.Canceled)

	_, err = m.Acquire(ctx, engine.Evaluation{})
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(err))
}

func TestModulesThatCannotBeLoaded(t *testing.T) {
	small := engine.Limits{MemoryBytes: 10 * engine.PageSize, ModuleBytes: 1 << 10}
	for _, test := range []struct {
		name  string
		wasm  []byte
		cause engine.Cause
		err   string
	}{
		{"nothing", nil, engine.CauseInvalid,
			"0 bytes, expected the 8 bytes of the magic number and the version"},
		{"no wasm", []byte("#!/bin/sh"), engine.CauseInvalid,
			"magic number 23212f62, expected 0061736d"},
		{"truncated", binary(t, "guest")[:100], engine.CauseInvalid, "section"},
		{"too large", make([]byte, 2<<10), engine.CauseLimit,
			"limit exceeded: 2048 bytes of module, at most 1024 are allowed"},
		{"too much memory", binary(t, "big-memory"), engine.CauseLimit,
			"limit exceeded: 6553600 bytes of linear memory at the start, at most 655360 are allowed"},
		{"unknown import", binary(t, "unknown-import"), engine.CauseInvalid,
			"module imports function env.mystery, which the host does not provide to test guests"},
		{"wrong import", binary(t, "wrong-import"), engine.CauseInvalid,
			"module imports function host.add with the wrong type"},
		{"wrong import of WASI", binary(t, "wrong-wasi"), engine.CauseInvalid,
			"module imports function wasi_snapshot_preview1.fd_fdstat_get with the wrong type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newEngine(t, engine.Options{Limits: small}).Load(t.Context(), test.wasm,
				testABI)
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, "module "+engine.Digest(test.wasm)+": load: ")
			require.Equal(t, test.cause, engine.CauseOf(err))
		})
	}
	t.Run("required export", func(t *testing.T) {
		_, err := newEngine(t, engine.Options{}).Load(t.Context(), binary(t, "guest"),
			&engine.ABI{Name: "second", RequiredExports: []string{"run"}})
		require.ErrorContains(t, err,
			`module does not export function "run": it is not a second guest`)
	})
}

func TestModulesThatCannotBeStarted(t *testing.T) {
	for _, test := range []struct {
		name  string
		cause engine.Cause
		err   string
	}{
		{"start-section-traps", engine.CauseUnreachable, ": start: wasm trap: unreachable"},
		{"start-exits", engine.CauseExit, ": start of _start: guest exited with status 1"},
		{"start-spins", engine.CauseDeadline,
			": start of _start: guest code interrupted, execution deadline exceeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEngine(t, engine.Options{Limits: engine.Limits{Timeout: 10 * time.Millisecond}})
			_, err := e.Load(t.Context(), binary(t, test.name), testABI)
			require.ErrorContains(t, err, test.err)
			require.Equal(t, test.cause, engine.CauseOf(err))
		})
	}
}

func TestOutputReachesTheABI(t *testing.T) {
	state := &recording{}
	i, err := load(t, engine.Options{}, "talks").
		Acquire(t.Context(), engine.Evaluation{State: state})
	require.NoError(t, err)
	defer i.Release()
	_, err = i.Call("talk")
	require.NoError(t, err)
	require.Equal(t, "hello\n", state.stdout.String())
	require.Equal(t, "hello\n", state.stderr.String())
}

func TestEveryInstanceIsPristine(t *testing.T) {
	m := load(t, engine.Options{}, "guest")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				i, err := m.Acquire(context.Background(), engine.Evaluation{})
				if err != nil {
					t.Error(err)
					return
				}
				result, err := i.Call("count")
				i.Release()
				if err != nil || result != 1 {
					t.Errorf("count is %d, error %v", result, err)
				}
			}
		})
	}
	group.Wait()
}

func TestModulesAreShared(t *testing.T) {
	e := newEngine(t, engine.Options{})
	first, err := e.Load(t.Context(), binary(t, "guest"), testABI)
	require.NoError(t, err)
	second, err := e.Load(t.Context(), binary(t, "guest"), testABI)
	require.NoError(t, err)
	require.Same(t, first, second)

	first.Close()
	i, err := second.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	i.Release()
	second.Close()

	third, err := e.Load(t.Context(), binary(t, "guest"), testABI)
	require.NoError(t, err)
	require.NotSame(t, first, third)
	third.Close()
}

func TestAClosedEngineLoadsNothing(t *testing.T) {
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err = e.Load(t.Context(), binary(t, "guest"), testABI)
	require.EqualError(t, err, "engine is closed")
}

func TestClosingInAnyOrder(t *testing.T) {
	var log bytes.Buffer
	e, err := engine.New(engine.Options{
		Compilation: engine.InProcess,
		Logger:      slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	m, err := e.Load(t.Context(), binary(t, "guest"), testABI)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	m.Close()
	require.NotContains(t, log.String(), "level=WARN")
}

func TestFourGibibytesOfMemoryMayBeAskedFor(t *testing.T) {
	load(t, engine.Options{Limits: engine.Limits{MemoryBytes: 1 << 32}}, "guest")
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	for _, limits := range []engine.Limits{
		{ModuleBytes: -1},
		{MemoryBytes: engine.PageSize - 1},
		{MemoryBytes: 1<<32 + 1},
		{Timeout: -time.Second},
		{Fuel: -1},
		{Instances: -1},
		{Waiters: -1},
		{PoolBytes: -1},
		{TableEntries: 1 << 31},
		{LoadTimeout: -1},
		{Compilers: -1},
		{CompilerBytes: 128<<20 - 1},
	} {
		_, err := engine.New(engine.Options{Limits: limits})
		require.Error(t, err)
	}
}
