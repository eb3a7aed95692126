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

package breaker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/policyset/internal/breaker"
)

const interval = 10 * time.Second

var errFailed = errors.New("failed")

// fixture is a breaker that opens after three failures, and its transitions.
type fixture struct {
	*breaker.Breaker
	clock       *clocktesting.FakePassiveClock
	transitions []breaker.Transition
}

func newFixture() *fixture {
	f := &fixture{
		clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	f.Breaker = breaker.New(breaker.Options{Failures: 3, ProbeInterval: interval, Clock: f.clock,
		Notify: func(_ context.Context, t breaker.Transition) {
			f.transitions = append(f.transitions, t)
		}})
	return f
}

func (f *fixture) begin(t *testing.T) breaker.Attempt {
	t.Helper()
	attempt, err := f.Begin()
	require.NoError(t, err)
	return attempt
}

// fail makes the given number of attempts, which all fail.
func (f *fixture) fail(t *testing.T, times int) {
	t.Helper()
	for range times {
		f.begin(t).Failed(t.Context(), errFailed)
	}
}

func (f *fixture) wait(d time.Duration) { f.clock.SetTime(f.clock.Now().Add(d)) }

// refused returns the error for the next attempt.
func (f *fixture) refused(t *testing.T) (open *breaker.OpenError) {
	t.Helper()
	_, err := f.Begin()
	require.ErrorAs(t, err, &open)
	require.True(t, f.Open())
	return open
}

func TestOpensAfterFailuresInARow(t *testing.T) {
	f := newFixture()
	f.fail(t, 2)
	f.begin(t).Succeeded(t.Context())
	f.fail(t, 2)
	f.begin(t).Abandoned()
	require.False(t, f.Open())
	require.Empty(t, f.transitions)

	since := f.clock.Now()
	f.fail(t, 1)
	require.Equal(t, []breaker.Transition{{Open: true, Since: since, Failures: 3, Last: errFailed}},
		f.transitions)
	open := f.refused(t)
	require.Equal(t, &breaker.OpenError{Since: since, Failures: 3, Last: errFailed}, open)
	require.EqualError(t, open,
		"circuit breaker open since 2026-01-02T03:04:05Z: not evaluated after 3 failures in a row")
}

func TestProbes(t *testing.T) {
	f := newFixture()
	since := f.clock.Now()
	f.fail(t, 3)
	f.wait(interval - 1)
	require.NotNil(t, f.refused(t))

	f.wait(1)
	probe := f.begin(t)
	require.NotNil(t, f.refused(t)) // one at a time
	f.wait(interval)
	require.NotNil(t, f.refused(t))
	errProbe := errors.New("failed again")
	probe.Failed(t.Context(), errProbe)
	open := f.refused(t)
	require.Equal(t, &breaker.OpenError{Since: since, Failures: 4, Last: errProbe}, open)

	f.wait(interval)
	f.begin(t).Abandoned()
	f.begin(t).Succeeded(t.Context()) // the next one is a probe then
	require.False(t, f.Open())
	require.Len(t, f.transitions, 2)
	require.Equal(t, breaker.Transition{Since: since, Failures: 4, Last: errProbe},
		f.transitions[1])

	f.fail(t, 2)
	require.False(t, f.Open(), "the count of failures starts again")
	f.fail(t, 1)
	require.True(t, f.Open())
}

// The results of attempts that began before a transition do not count after it.
func TestOutdatedAttemptsDoNotCount(t *testing.T) {
	f := newFixture()
	early := []breaker.Attempt{f.begin(t), f.begin(t), f.begin(t), f.begin(t)}
	f.fail(t, 3)
	early[0].Succeeded(t.Context())
	require.True(t, f.Open(), "only a probe closes it")
	early[1].Failed(t.Context(), errFailed)
	require.Equal(t, 3, f.refused(t).Failures)

	f.wait(interval)
	f.begin(t).Succeeded(t.Context())
	f.fail(t, 2)
	early[2].Failed(t.Context(), errFailed)
	require.False(t, f.Open())
	early[3].Succeeded(t.Context())
	f.fail(t, 1)
	require.True(t, f.Open(), "two failures before and one after are three in a row")
}

func TestNilNeverOpens(t *testing.T) {
	var b *breaker.Breaker
	for range 100 {
		attempt, err := b.Begin()
		require.NoError(t, err)
		attempt.Failed(t.Context(), errFailed)
		attempt.Succeeded(t.Context())
		attempt.Abandoned()
	}
	require.False(t, b.Open())
}

// However attempts interleave, openings and closings alternate.
func TestConcurrentAttempts(t *testing.T) {
	var transitions []bool // calls of Notify do not overlap
	b := breaker.New(breaker.Options{Failures: 3,
		Notify: func(_ context.Context, transition breaker.Transition) {
			transitions = append(transitions, transition.Open)
		}})
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			for k := range 2000 {
				attempt, err := b.Begin()
				switch {
				case err != nil:
				case (k/50+n)%3 == 0:
					attempt.Failed(t.Context(), errFailed)
				case k%7 == 0:
					attempt.Abandoned()
				default:
					attempt.Succeeded(t.Context())
				}
			}
		})
	}
	wait.Wait()
	require.NotEmpty(t, transitions)
	for n, open := range transitions {
		require.Equal(t, n%2 == 0, open)
	}
	require.Equal(t, len(transitions)%2 == 1, b.Open())
}

func TestOneProbeAtATime(t *testing.T) {
	f := newFixture()
	f.fail(t, 3)
	f.wait(interval)
	for range 100 {
		probes := make(chan breaker.Attempt, 8)
		var wait sync.WaitGroup
		for range cap(probes) {
			wait.Go(func() {
				if probe, err := f.Begin(); err == nil {
					probes <- probe
				}
			})
		}
		wait.Wait()
		require.Len(t, probes, 1)
		(<-probes).Abandoned()
	}
}

// Every evaluation passes through the breaker.
func TestHealthyAttemptsDoNotAllocate(t *testing.T) {
	b := breaker.New(breaker.Options{Failures: 10, ProbeInterval: interval})
	require.Zero(t, testing.AllocsPerRun(100, func() {
		attempt, _ := b.Begin()
		attempt.Succeeded(t.Context())
	}))
}

func BenchmarkHealthy(b *testing.B) {
	healthy := breaker.New(breaker.Options{Failures: 10, ProbeInterval: interval})
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		attempt, _ := healthy.Begin()
		attempt.Succeeded(ctx)
	}
}

func BenchmarkHealthyParallel(b *testing.B) {
	healthy := breaker.New(breaker.Options{Failures: 10, ProbeInterval: interval})
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			attempt, _ := healthy.Begin()
			attempt.Succeeded(ctx)
		}
	})
}
