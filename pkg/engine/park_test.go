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
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// startFuel is less than the fuel that the program guest burns before it reads.
const startFuel = 60_000

// patient are limits that a busy machine does not reach.
var patient = engine.Limits{Instances: 1, Timeout: time.Minute}

// exchange is the state of a run of the program guest.
type exchange struct {
	input  string
	output []byte
	asked  int
}

// programs returns the ABI of the program guest, which waits with the given argument.
func programs(parked string) *engine.ABI {
	abi := &engine.ABI{
		Name: "program",
		HostFunctions: []engine.HostFunction{{Module: "host", Name: "ask", External: true,
			Call: func(i *engine.Instance, _ []uint64) {
				i.State().(*exchange).asked++
			}}},
		StartState: func() any { return &exchange{} },
		Command: &engine.Command{Input: func(i *engine.Instance, p []byte) int {
			e := i.State().(*exchange)
			n := copy(p, e.input)
			e.input = e.input[n:]
			return n
		}},
		Output: func(i *engine.Instance, _ int, p []byte) {
			e := i.State().(*exchange)
			e.output = append(e.output, p...)
		},
	}
	if parked != "" {
		abi.Command.Parked = []string{"program", parked}
	}
	return abi
}

// found is the output of a run of the program guest.
type found struct {
	letter, traces, first, pages byte
	before, after                string
	asked                        int
	fuel                         int64
}

// onProcessors runs a test with every way in which programs wait. amd64's way would end the process
// on arm64.
func onProcessors(t *testing.T, test func(t *testing.T, o engine.Options)) {
	for _, architecture := range []string{"amd64", "arm64"} {
		t.Run(architecture, func(t *testing.T) {
			if runtime.GOARCH == "arm64" && architecture != runtime.GOARCH {
				t.Skip("programs do not wait this way on this processor")
			}
			test(t, engine.Options{Limits: patient}.On(architecture))
		})
	}
}

func (f found) waited() bool { return f.fuel < startFuel }

// runProgram runs the program guest once. It returns the guest's output and how the run ended.
func runProgram(ctx context.Context, m *engine.Module, timeout time.Duration, argument,
	input string) (found, *engine.Instance, error) {
	e := &exchange{input: input}
	i, err := m.Acquire(ctx, engine.Evaluation{State: e, Timeout: timeout})
	if err != nil {
		return found{}, nil, err
	}
	defer i.Release()
	err = i.Run("program", argument)
	f := found{asked: e.asked, fuel: i.Usage().Fuel}
	if o := e.output; len(o) >= 24 {
		o = o[len(o)-24:]
		f.letter, f.traces, f.first, f.pages = o[0], o[1], o[2], o[3]
		f.before, f.after = string(o[8:16]), string(o[16:24])
	}
	return f, i, err
}

// requireFound checks that a run found the same state as every run.
func requireFound(t *testing.T, f found, letter byte) {
	t.Helper()
	require.Equal(t, letter, f.letter)
	require.Zero(t, f.traces)
	require.EqualValues(t, 1, f.first)
	require.EqualValues(t, 4, f.pages)
}

func TestProgramsWaitWhereTheyRead(t *testing.T) {
	t.Run("interpreter", func(t *testing.T) {
		requireWaits(t, engine.Options{Interpreter: true, Limits: patient})
	})
	fuel := map[int64]bool{}
	onProcessors(t, func(t *testing.T, o engine.Options) { fuel[requireWaits(t, o)] = true })
	require.Len(t, fuel, 1, "the same fuel on every processor")
}

// requireWaits checks that the program guest waits, unless it is interpreted, and returns the fuel
// of a run that waited.
func requireWaits(t *testing.T, o engine.Options) (fuel int64) {
	t.Helper()
	m := loadFor(t, o, "program", programs("run"))
	var before, after string
	for range 3 {
		f, _, err := runProgram(t.Context(), m, patient.Timeout, "run", "a")
		require.NoError(t, err)
		requireFound(t, f, 'a')
		require.Equal(t, !o.Interpreter, f.waited())
		// What was drawn before the read is part of the shared state, and nothing else is.
		require.Equal(t, f.waited() && before != "", before == f.before)
		require.NotEqual(t, after, f.after)
		before, after, fuel = f.before, f.after, f.fuel
	}
	// With other arguments, a program starts.
	f, _, err := runProgram(t.Context(), m, patient.Timeout, "other", "b")
	require.NoError(t, err)
	requireFound(t, f, 'b')
	require.False(t, f.waited())
	f, _, err = runProgram(t.Context(), m, patient.Timeout, "run", "c")
	require.NoError(t, err)
	requireFound(t, f, 'c')
	require.Equal(t, !o.Interpreter, f.waited())
	return fuel
}

// On arm64, the state that is saved with a stack belongs to the goroutine. An instance therefore
// runs on a single goroutine, whichever goroutine calls it.
func TestProgramsWaitOnOneGoroutine(t *testing.T) {
	goroutines := map[string]bool{}
	abi := programs("run")
	input := abi.Command.Input
	abi.Command.Input = func(i *engine.Instance, p []byte) int {
		name, _, _ := strings.Cut(string(debug.Stack()), "[")
		goroutines[name] = true
		return input(i, p)
	}
	m := loadFor(t, engine.Options{Limits: patient}.On("arm64"), "program", abi)
	for range 5 {
		done := make(chan error)
		go func() {
			f, _, err := endProgram(context.Background(), m, "run", "", "")
			if err == nil && !f.waited() {
				err = errors.New("the program did not wait")
			}
			done <- err
		}()
		require.NoError(t, <-done)
	}
	require.Len(t, goroutines, 1)
}

// What a program does before it reads must be the same for all evaluations.
func TestProgramsThatDoNotWait(t *testing.T) {
	t.Run("without", func(t *testing.T) {
		f, _, err := runProgram(t.Context(), loadFor(t, engine.Options{}, "program", programs("")),
			patient.Timeout, "run", "a")
		require.NoError(t, err)
		requireFound(t, f, 'a')
		require.False(t, f.waited())
	})
	for _, test := range []struct {
		argument string
		asked    int
		cause    engine.Cause
	}{
		{"prints", 0, ""},
		{"x asks the host", 1, ""},
		{"nothing is read", 0, ""},
		{"exits", 0, engine.CauseExit},
		{"spins", 0, engine.CauseDeadline},
	} {
		t.Run(test.argument, func(t *testing.T) {
			m := loadFor(t, engine.Options{
				Limits: engine.Limits{Instances: 1, Timeout: 100 * time.Millisecond},
			}, "program", programs(test.argument))
			timeout := patient.Timeout
			if test.cause == engine.CauseDeadline {
				timeout = 20 * time.Millisecond
			}
			var first *engine.Instance
			for range 3 {
				f, i, err := runProgram(t.Context(), m, timeout, test.argument, "a")
				require.Equal(t, test.asked, f.asked)
				if test.cause != "" {
					require.Equal(t, test.cause, engine.CauseOf(err))
					continue
				}
				require.NoError(t, err)
				require.False(t, f.waited())
				if first == nil {
					first = i
				}
				require.Same(t, first, i, "the instance is still reset")
			}
		})
	}
}

// endings are the letters that select how the program guest ends.
var endings = []struct {
	letter string
	cause  engine.Cause
}{
	{"", ""}, {"z", ""}, {"x", engine.CauseExit}, {"t", engine.CauseUnreachable},
	{"s", engine.CauseDeadline}, {"o", engine.CauseStack},
}

func endProgram(ctx context.Context, m *engine.Module, argument, letter string,
	cause engine.Cause) (found, *engine.Instance, error) {
	timeout := time.Minute
	if cause == engine.CauseDeadline {
		timeout = 20 * time.Millisecond
	}
	f, i, err := runProgram(ctx, m, timeout, argument, "a"+letter)
	switch {
	case err == nil && cause == "":
		return f, i, nil
	case err == nil || engine.CauseOf(err) != cause:
		return f, i, fmt.Errorf("ended with %w, not by %q", err, cause)
	}
	return f, i, nil
}

func TestNothingOfAProgramReachesTheNext(t *testing.T) {
	engineKinds(t, func(t *testing.T, o engine.Options) {
		o.Limits = patient
		o.Limits.MemoryBytes = 16 * engine.PageSize
		m := loadFor(t, o, "program", programs("run"))
		var fuel int64
		for _, ending := range endings {
			for _, argument := range []string{"run", "other", "run"} {
				f, used, err := endProgram(t.Context(), m, argument, ending.letter, ending.cause)
				require.NoError(t, err)
				if ending.cause != engine.CauseDeadline {
					requireFound(t, f, 'a')
				}
				again, next, err := endProgram(t.Context(), m, "run", "", "")
				require.NoError(t, err)
				requireFound(t, again, 'a')
				require.Equal(t, !o.Interpreter, again.waited())
				require.Equal(t, ending.cause == engine.CauseStack, used != next,
					"a test of isolation that never reuses an instance proves nothing")
				if fuel == 0 {
					fuel = again.fuel
				}
				require.Equal(t, fuel, again.fuel)
			}
		}
	})
}

// Instances are trimmed periodically, which also trims their stacks.
func TestProgramsWaitAfterManyEvaluations(t *testing.T) { onProcessors(t, requireWaitsFor600) }

func requireWaitsFor600(t *testing.T, o engine.Options) {
	m := loadFor(t, o, "program", programs("run"))
	_, first, err := endProgram(t.Context(), m, "run", "", "")
	require.NoError(t, err)
	for n := range 600 {
		f, i, err := endProgram(t.Context(), m, "run", endings[n%4].letter, endings[n%4].cause)
		require.NoError(t, err)
		requireFound(t, f, 'a')
		require.True(t, f.waited(), "evaluation %d", n)
		require.Same(t, first, i)
	}
}

// An evaluation whose time is up before the program continues must not use up the copied stack.
func TestProgramsWaitAfterEvaluationsThatNeverRan(t *testing.T) {
	onProcessors(t, requireWaitsAfterNothing)
}

func requireWaitsAfterNothing(t *testing.T, o engine.Options) {
	m := loadFor(t, o, "program", programs("run"))
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		i, err := m.Acquire(ctx, engine.Evaluation{State: &exchange{}})
		require.NoError(t, err)
		cancel()
		require.Equal(t, engine.CauseCanceled, engine.CauseOf(i.Run("program", "run")))
		i.Release()
		i, err = m.Acquire(t.Context(), engine.Evaluation{State: &exchange{}})
		require.NoError(t, err)
		i.Release()
		f, _, err := endProgram(t.Context(), m, "run", "", "")
		require.NoError(t, err)
		requireFound(t, f, 'a')
		require.True(t, f.waited())
	}
}

func TestNothingOfAProgramReachesConcurrentOnes(t *testing.T) { onProcessors(t, requireApart) }

func requireApart(t *testing.T, o engine.Options) {
	o.Limits.Instances = 4
	m := loadFor(t, o, "program", programs("run"))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for n := range 50 {
				ending := endings[(worker+n)%4]
				f, _, err := endProgram(context.Background(), m, []string{"run", "other"}[n%10/9],
					ending.letter, ending.cause)
				if err != nil || f.letter != 'a' || f.traces != 0 || f.first != 1 || f.pages != 4 {
					t.Errorf("worker %d, evaluation %d: %+v, error %v", worker, n, f, err)
				}
			}
		})
	}
	group.Wait()
}

func TestProgramsRunOnce(t *testing.T) {
	m := loadFor(t, engine.Options{}, "program", programs("run"))
	i, err := m.Acquire(t.Context(), engine.Evaluation{State: &exchange{input: "a"}})
	require.NoError(t, err)
	defer i.Release()
	require.NoError(t, i.Run("program", "run"))
	err = i.Run("program", "run")
	require.ErrorContains(t, err, "its program has already run")
	require.Equal(t, engine.CauseInvalid, engine.CauseOf(err))
}

func TestOnlyCommandsRun(t *testing.T) {
	m := load(t, engine.Options{}, "guest")
	i, err := m.Acquire(t.Context(), engine.Evaluation{})
	require.NoError(t, err)
	defer i.Release()
	require.ErrorContains(t, i.Run(strings.Repeat("x", 3)), "guests of the ABI are not commands")
}
