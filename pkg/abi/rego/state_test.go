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

package rego

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

// large returns settings that begin with the letter and are large enough to be parsed only once.
func large(letter string) []byte {
	return []byte(`"` + letter + strings.Repeat("x", minShared) + `"`)
}

// derivations counts the states that an engine derives, by its log entries.
type derivations struct {
	slog.Handler
	count atomic.Int32
}

func (d *derivations) Enabled(context.Context, slog.Level) bool { return true }

func (d *derivations) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "Derived a state" {
		d.count.Add(1)
	}
	return nil
}

// stage is an engine with one instance, and several policies with the same binary.
type stage struct {
	*engine.Engine
	made   derivations
	guests []*Guest
	env    *abi.Environment
}

func newStage(t *testing.T, guests int) *stage {
	t.Helper()
	s := &stage{}
	var err error
	s.Engine, err = engine.New(engine.Options{
		Compilation: engine.InProcess,
		Logger:      slog.New(&s.made),
		Limits:      engine.Limits{Instances: 1},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for range guests {
		guest, err := Load(t.Context(), s.Engine, guestBinary(t), abi.ExecutionModeOPA,
			lender{"f": answer(accepts)})
		require.NoError(t, err)
		t.Cleanup(guest.Close)
		s.guests = append(s.guests, guest)
	}
	s.env = (&host{}).environment()
	s.env.Limits.RequestBytes = 1 << 20
	return s
}

func (s *stage) validate(ctx context.Context, guest int, settings []byte) error {
	response, _, err := s.guests[guest].Validate(ctx, s.env, []byte(`{}`), settings)
	if err == nil && !response.Accepted {
		panic("the guest does not refuse")
	}
	return err
}

// occupy takes the only instance until release is called, so that others wait.
func (s *stage) occupy(t *testing.T) (release func()) {
	t.Helper()
	i, err := s.guests[0].module.Acquire(t.Context(), engine.Evaluation{Timeout: time.Minute})
	require.NoError(t, err)
	return func() { i.Release() }
}

// holders returns the number of policies and evaluations that hold the state of the settings.
func (s *stage) holders(settings []byte) int {
	of := s.guests[0].states
	of.mu.Lock()
	defer of.mu.Unlock()
	if known := of.find(text{settings}); known != nil {
		return known.holders
	}
	return 0
}

// start starts evaluations that wait for a state, which itself waits for an instance. It returns
// their outcomes.
func (s *stage) start(ctx context.Context, t *testing.T, settings []byte,
	evaluations int) chan error {
	t.Helper()
	want := max(s.holders(settings), 1) + evaluations // one holder is the policy
	ended := make(chan error, evaluations)
	for range evaluations {
		go func() { ended <- s.validate(ctx, 0, settings) }()
	}
	require.Eventually(t, func() bool {
		return s.holders(settings) == want && s.Stats().Waiting > 0
	}, time.Minute, time.Millisecond)
	return ended
}

// Evaluations have the same outcome with shared data as with data that they parse themselves.
func TestOutcomesOnSharedData(t *testing.T) {
	s := newStage(t, 1)
	s.env.Limits.ResponseBytes = 100
	for _, test := range []struct {
		letter, err string
		cause       engine.Cause
	}{
		{"a", "", ""},
		{"b", "", ""},
		{"o", "call of eval: Guest call failure: invalid \uFFFD text", engine.CauseAbort},
		{"u", "call of eval: wasm trap: unreachable", engine.CauseUnreachable},
		{"s", "eval returned status 1", engine.CauseAbort},
		{"m", "input: 14 bytes at address 4294967294 are outside the guest's memory",
			engine.CauseAbort},
		{"p", "the guest cannot parse its input", engine.CauseAbort},
		{"n", "limit exceeded: 101 bytes of response, at most 100 are allowed", engine.CauseLimit},
		{"w", "call of eval: opa_value_dump: wasm trap: unreachable", engine.CauseUnreachable},
	} {
		t.Run(test.letter, func(t *testing.T) {
			before := s.made.count.Load()
			for range 3 { // the guest refuses if it finds a trace of an earlier run
				err := s.validate(t.Context(), 0, large(test.letter))
				if test.err == "" {
					require.NoError(t, err)
					continue
				}
				require.ErrorContains(t, err, test.err)
				require.Equal(t, test.cause, engine.CauseOf(err))
			}
			require.Equal(t, before+1, s.made.count.Load(), "data is parsed once")
		})
	}
}

func TestSmallDataHasNoState(t *testing.T) {
	s := newStage(t, 1)
	for range 3 {
		require.NoError(t, s.validate(t.Context(), 0, []byte(`"a"`)))
	}
	require.Zero(t, s.made.count.Load())
}

// pagesAndImages returns the engine's memory without the handles that its instances keep. The
// instance gets a handle of 12 KB for each of the guest's functions that was called once, and keeps
// it in every state. At the end of [TestStatesAreShared], it has nine more handles than at the
// beginning.
func (s *stage) pagesAndImages() uint64 {
	stats := s.Stats()
	return stats.MemoryBytes - stats.HeapBytes
}

// Concurrent evaluations wait for one parsing. Policies with the same binary and the same data
// share one state. Unused states are freed.
func TestStatesAreShared(t *testing.T) {
	s := newStage(t, 2)
	before := s.pagesAndImages()
	release := s.occupy(t)
	ended := s.start(t.Context(), t, large("a"), 10)
	release()
	for range 10 {
		require.NoError(t, <-ended)
	}
	require.NoError(t, s.validate(t.Context(), 1, large("a")))
	require.EqualValues(t, 1, s.made.count.Load())
	require.Len(t, s.guests[0].states.all, 1)

	one := s.pagesAndImages()
	require.NoError(t, s.validate(t.Context(), 0, large("b")))
	require.EqualValues(t, 2, s.made.count.Load())
	require.Len(t, s.guests[0].states.all, 2, "the other policy has the first")
	require.NoError(t, s.validate(t.Context(), 1, large("b")))
	require.EqualValues(t, 2, s.made.count.Load())
	require.Len(t, s.guests[0].states.all, 1)
	const pages = 64 << 10 // pages that an instance has written
	require.InDelta(t, one, s.pagesAndImages(), pages)

	require.NoError(t, s.validate(t.Context(), 0, []byte(`"a"`)), "the module is as it was")
	s.guests[1].release(s.guests[1].last)
	s.guests[1].last = nil
	require.Len(t, s.guests[0].states.all, 1)
	s.guests[0].release(s.guests[0].last)
	s.guests[0].last = nil
	require.Empty(t, s.guests[0].states.all)
	require.InDelta(t, before, s.pagesAndImages(), pages)
}

// A request that ends while it waits does not affect the others that wait.
func TestWhoGivesUpFailsNobodyElse(t *testing.T) {
	s := newStage(t, 1)
	release := s.occupy(t)
	first, cancel := context.WithCancel(t.Context())
	impatient := s.start(first, t, large("a"), 1)
	patient := s.start(t.Context(), t, large("a"), 2)
	cancel()
	err := <-impatient
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, engine.CauseCanceled, engine.CauseOf(err))
	require.ErrorContains(t, err, "module "+s.guests[0].module.Digest()+": derive: waiting for")
	release()
	for range 2 {
		require.NoError(t, <-patient)
	}
	require.EqualValues(t, 1, s.made.count.Load())
}

// Each evaluation has its own time limit for the wait.
func TestWaitingTakesFromTheEvaluationsTime(t *testing.T) {
	s := newStage(t, 1)
	release := s.occupy(t)
	s.env.Timeout = time.Millisecond
	err := s.validate(t.Context(), 0, large("a"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, engine.CauseDeadline, engine.CauseOf(err))
	release()
	s.env.Timeout = time.Minute
	require.Eventually(t, func() bool { return s.validate(t.Context(), 0, large("a")) == nil },
		time.Minute, time.Millisecond)
}

// A state is not made once nobody needs it, because the data changed or the policy was closed.
func TestStatesThatNobodyNeedsAreNotMade(t *testing.T) {
	s := newStage(t, 1)
	release := s.occupy(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := s.start(ctx, t, large("a"), 1)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.Equal(t, 1, s.holders(large("a")), "the next evaluation of the policy needs it")

	ctx, cancel = context.WithCancel(t.Context())
	ended = s.start(ctx, t, large("b"), 1)
	require.Zero(t, s.holders(large("a")))
	require.Eventually(t, func() bool { return s.Stats().Waiting == 1 }, time.Minute,
		time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)

	require.Equal(t, 1, s.holders(large("b")))
	s.guests[0].release(s.guests[0].last)
	s.guests[0].last = nil
	s.guests[0].making.Wait() // while the instance is occupied
	release()
	require.Zero(t, s.made.count.Load())
	require.Empty(t, s.guests[0].states.all)
	require.NoError(t, s.validate(t.Context(), 0, large("a")))
}

// The guest has two pages of memory, too few for data of this size.
func TestFailuresToParseAreNotKept(t *testing.T) {
	s := newStage(t, 1)
	huge := bytes.Repeat([]byte("x"), 128<<10)
	before := s.Stats().MemoryBytes
	for range 3 {
		err := s.validate(t.Context(), 0, huge)
		require.EqualError(t, err, "parsing 131072 bytes of data: module "+
			s.guests[0].module.Digest()+
			": derive: data: 131072 bytes at address 4096 are outside the guest's memory")
		require.Equal(t, engine.CauseAbort, engine.CauseOf(err))
		require.Empty(t, s.guests[0].states.all)
	}
	require.LessOrEqual(t, s.Stats().MemoryBytes, before)
	require.NoError(t, s.validate(t.Context(), 0, large("a")))
}

func TestGuestsThatCannotBeResetParseForThemselves(t *testing.T) {
	wasm, err := os.ReadFile("testdata/fresh.wasm")
	require.NoError(t, err)
	s := newStage(t, 0)
	guest, err := Load(t.Context(), s.Engine, wasm, abi.ExecutionModeOPA, nil)
	require.NoError(t, err)
	defer guest.Close()
	require.NotEmpty(t, guest.module.FreshInstances())
	s.env.Limits.ResponseBytes = 1 << 20
	for _, letter := range []string{"a", "b", "a"} {
		result, _, err := guest.Query(t.Context(), s.env, []byte(`{}`), large(letter))
		require.NoError(t, err)
		require.Equal(t, string(large(letter)), string(result))
	}
	require.Zero(t, s.made.count.Load())
	require.Empty(t, guest.states.all)
}

// Policies that change their data all the time, and close meanwhile, neither wait for each other
// nor leak states.
func TestConcurrentChangesOfData(t *testing.T) {
	e, err := engine.New(engine.Options{
		Compilation: engine.InProcess,
		Limits:      engine.Limits{Instances: 3},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, e.Close()) }()
	keep, err := Load(t.Context(), e, guestBinary(t), abi.ExecutionModeOPA,
		lender{"f": answer(accepts)})
	require.NoError(t, err)
	s := &stage{Engine: e, env: (&host{}).environment()}
	s.env.Limits.RequestBytes = 1 << 20
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for n := range 20 {
				guest, err := Load(context.Background(), e, guestBinary(t), abi.ExecutionModeOPA,
					lender{"f": answer(accepts)})
				if err != nil {
					t.Error(err)
					return
				}
				var evaluations sync.WaitGroup
				for k := range 3 {
					evaluations.Go(func() {
						for m := range 3 {
							letter := string(rune('a' + (n+k+m)%3*8)) // a, i, q
							if response, _, err := guest.Validate(context.Background(), s.env,
								[]byte(`{}`), large(letter)); err != nil || !response.Accepted {
								t.Errorf("%s: %v", letter, err)
							}
						}
					})
				}
				evaluations.Wait()
				guest.Close()
			}
		})
	}
	group.Wait()
	require.Empty(t, keep.states.all)
	keep.Close()
	require.Zero(t, e.Stats().MemoryBytes)
}
