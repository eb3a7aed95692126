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

package images

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// source is a registry that answers with the number of its calls, unless it has an error. It waits
// while it is blocked.
type source struct {
	asked   atomic.Int32
	err     atomic.Pointer[error]
	blocked sync.RWMutex
}

func (s *source) fail(err error) { s.err.Store(&err) }

func (s *source) ask(context.Context) ([]byte, error) {
	n := s.asked.Add(1)
	s.blocked.RLock()
	defer s.blocked.RUnlock()
	if err := s.err.Load(); err != nil && *err != nil {
		return nil, *err
	}
	return fmt.Appendf(nil, "answer %d", n), nil
}

var (
	errGone       = &unansweredError{errors.New("gone")}
	errUnverified = errors.New("not verified")
)

type world struct {
	*answers
	*source
	clock *clocktesting.FakeClock
}

func newWorld(change func(*bounds)) *world {
	w := &world{source: &source{}, clock: clocktesting.NewFakeClock(time.Now())}
	b := bounds{
		entries: 10, bytes: 1 << 20, ttl: time.Minute, failureTTL: 5 * time.Second,
		timeout: time.Minute, policy: 2, registry: 2, clock: w.clock,
	}
	if change != nil {
		change(&b)
	}
	w.answers = newAnswers(b)
	return w
}

func (w *world) question(key string) question {
	return question{key: key, policy: "p", registry: "r", ask: w.ask}
}

// requireAnswer asks and compares.
func (w *world) requireAnswer(t *testing.T, want string, how result) {
	t.Helper()
	body, got, err := w.get(t.Context(), w.question("k"))
	text := string(body)
	if err != nil {
		text = err.Error()
	}
	require.Equal(t, want, text)
	require.Equal(t, how, got)
}

// settled waits until no lookup is running.
func (w *world) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.flights) == 0 && len(w.looks) == 0
	}, 10*time.Second, time.Millisecond)
}

func TestAnswersAreKept(t *testing.T) {
	w := newWorld(nil)
	w.requireAnswer(t, "answer 1", resultAsked)
	w.clock.Step(45*time.Second - 1)
	w.requireAnswer(t, "answer 1", resultCached)
	w.clock.Step(time.Minute)
	w.requireAnswer(t, "answer 2", resultAsked)
	require.NotNil(t, w.known("k"))
}

func TestAnswersAreAskedForBeforeTheyAreTooOld(t *testing.T) {
	w := newWorld(nil)
	w.requireAnswer(t, "answer 1", resultAsked)
	w.clock.Step(45 * time.Second)
	require.Nil(t, w.known("k"))
	w.requireAnswer(t, "answer 1", resultCached)
	w.settled(t)
	w.requireAnswer(t, "answer 2", resultCached)

	// If the refresh fails, the answer remains valid until it expires.
	w.clock.Step(45 * time.Second)
	w.fail(errGone)
	w.requireAnswer(t, "answer 2", resultCached)
	w.settled(t)
	w.requireAnswer(t, "answer 2", resultCached)
	require.EqualValues(t, 3, w.asked.Load(), "not again at once")
	w.clock.Step(15 * time.Second)
	w.requireAnswer(t, "gone", resultFailed)

	// A failed verification replaces the older answer.
	w = newWorld(nil)
	w.requireAnswer(t, "answer 1", resultAsked)
	w.clock.Step(45 * time.Second)
	w.fail(errUnverified)
	w.requireAnswer(t, "answer 1", resultCached)
	w.settled(t)
	w.requireAnswer(t, "not verified", resultFailed)
}

func TestFailuresAreKeptForLess(t *testing.T) {
	w := newWorld(nil)
	for _, err := range []error{errGone, errUnverified} {
		w.fail(err)
		w.requireAnswer(t, err.Error(), resultFailed)
		asked := w.asked.Load()
		w.fail(nil)
		w.clock.Step(5*time.Second - 1)
		w.requireAnswer(t, err.Error(), resultFailed)
		require.Equal(t, asked, w.asked.Load())
		w.clock.Step(1)
		w.requireAnswer(t, fmt.Sprintf("answer %d", asked+1), resultAsked)
		w.clock.Step(time.Hour)
	}
}

func TestStaleAnswers(t *testing.T) {
	stale := func(b *bounds) { b.staleTTL = 10 * time.Minute }
	w := newWorld(stale)
	w.requireAnswer(t, "answer 1", resultAsked)
	w.clock.Step(2 * time.Minute)
	w.fail(errGone)
	w.requireAnswer(t, "answer 1", resultStale)
	w.clock.Step(time.Minute)
	w.requireAnswer(t, "answer 1", resultStale)
	w.settled(t)
	w.fail(nil)
	w.clock.Step(5 * time.Second)
	w.requireAnswer(t, "answer 1", resultStale)
	w.settled(t)
	w.requireAnswer(t, "answer 4", resultCached)

	w.fail(errGone)
	w.clock.Step(11 * time.Minute)
	w.requireAnswer(t, "gone", resultFailed)

	// After a failed verification, the older answer is not used again, whatever the registry
	// answers later.
	w = newWorld(stale)
	w.requireAnswer(t, "answer 1", resultAsked)
	w.clock.Step(2 * time.Minute)
	w.fail(errUnverified)
	w.requireAnswer(t, "not verified", resultFailed)
	w.fail(errGone)
	w.clock.Step(5 * time.Second)
	w.requireAnswer(t, "gone", resultFailed)
}

func TestStaleAnswersWhileARegistryHangs(t *testing.T) {
	w := newWorld(func(b *bounds) { b.staleTTL = 10 * time.Minute })
	w.requireAnswer(t, "answer 1", resultAsked)
	w.clock.Step(2 * time.Minute)
	w.blocked.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !w.clock.HasWaiters() {
			runtime.Gosched()
		}
		w.clock.Step(patience)
	}()
	w.requireAnswer(t, "answer 1", resultStale)
	<-done
	w.blocked.Unlock()
	w.settled(t)
	w.requireAnswer(t, "answer 2", resultCached)
}

func TestALookOutlivesItsRequestAndServesTheNext(t *testing.T) {
	w := newWorld(nil)
	w.blocked.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, how, err := w.get(ctx, w.question("k"))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err,
		"the registry has not answered yet, and the lookup continues for a while")
	require.Equal(t, resultFailed, how)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() { _, _, _ = w.get(t.Context(), w.question("k")) })
	}
	w.blocked.Unlock()
	group.Wait()
	w.settled(t)
	w.requireAnswer(t, "answer 1", resultCached)
	require.EqualValues(t, 1, w.asked.Load(), "one look for all of them")
}

// A lookup may outlast the requests that wait for it. It has its own trace, which is linked with
// all of theirs.
func TestALookHasATraceOfItsOwn(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("server")
	w := newWorld(nil)
	w.blocked.Lock()
	ask := func() trace.Span {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ctx, request := tracer.Start(ctx, "request")
		_, _, err := w.get(ctx, w.question("k"))
		require.ErrorIs(t, err, context.Canceled)
		request.End()
		return request
	}
	first, second := ask(), ask()
	w.fail(errUnverified)
	w.blocked.Unlock()
	w.settled(t)
	ended := recorder.Ended()
	require.Len(t, ended, 3)
	look := ended[2]
	require.Equal(t, spans.Look, look.Name())
	require.False(t, look.Parent().IsValid())
	require.NotEqual(t, first.SpanContext().TraceID(), look.SpanContext().TraceID())
	require.Equal(t, first.SpanContext(), look.Links()[0].SpanContext)
	require.Equal(t, look.SpanContext(), ended[0].Links()[0].SpanContext)
	require.Equal(t, look.SpanContext(), ended[1].Links()[0].SpanContext)
	require.Equal(t, second.SpanContext(), ended[1].SpanContext())
	require.Equal(t, "other", look.Status().Description)
}

func TestLooksAreBoundedInTime(t *testing.T) {
	w := newWorld(func(b *bounds) { b.timeout = time.Millisecond })
	q := w.question("k")
	q.ask = func(ctx context.Context) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, _, err := w.get(t.Context(), q)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestLooksOfAPolicyAreBounded(t *testing.T) {
	w := newWorld(nil)
	w.blocked.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 18 {
		_, _, err := w.get(ctx, w.question(fmt.Sprint(n)))
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Eventually(t, func() bool { return w.asked.Load() == 2 }, 10*time.Second,
		time.Millisecond, "two at the same time")
	_, how, err := w.get(t.Context(), w.question("one more"))
	require.EqualError(t, err,
		"the policy has 18 image lookups running or waiting, at most 18 are allowed: see capabilities.oci.policyLooks")
	require.Equal(t, resultDenied, how)
	require.EqualValues(t, 2, w.asked.Load())

	// Another policy may ask another registry.
	other := question{key: "other", policy: "q", registry: "s", ask: (&source{}).ask}
	_, _, err = w.get(t.Context(), other)
	require.NoError(t, err)
	w.blocked.Unlock()
	w.settled(t)
	require.EqualValues(t, 18, w.asked.Load())
	require.Empty(t, w.policies.lines)
	require.Empty(t, w.registries.lines)
}

// A client that names images in a registry that hangs must not block the policy's lookups at other
// registries.
func TestARegistryThatHangsLeavesTurnsForOthers(t *testing.T) {
	w := newWorld(func(b *bounds) { b.registry = 1 })
	w.blocked.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 9 {
		_, _, err := w.get(ctx, w.question(fmt.Sprint(n)))
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Eventually(t, func() bool {
		w.shares.mu.Lock()
		defer w.shares.mu.Unlock()
		l := w.shares.lines["p\x00r"]
		return w.asked.Load() == 1 && l != nil && l.in == 9
	}, 10*time.Second, time.Millisecond)
	_, how, err := w.get(t.Context(), w.question("one more"))
	require.EqualError(t, err,
		"the policy has 9 image lookups in r running or waiting, at most 9 are allowed: see capabilities.oci.registryLooks")
	require.Equal(t, resultDenied, how)

	// The same policy has another turn, for another registry.
	_, _, err = w.get(t.Context(),
		question{key: "other", policy: "p", registry: "s", ask: (&source{}).ask})
	require.NoError(t, err)
	w.blocked.Unlock()
	w.settled(t)
	require.Empty(t, w.shares.lines)
}

func TestLooksAtARegistryAreBounded(t *testing.T) {
	w := newWorld(nil)
	w.blocked.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range 6 {
		q := w.question(fmt.Sprint(n))
		q.policy = q.key
		_, _, err := w.get(ctx, q)
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Eventually(t, func() bool {
		w.registries.mu.Lock()
		defer w.registries.mu.Unlock()
		return w.registries.lines["r"] != nil && w.registries.lines["r"].in == 6
	}, 10*time.Second, time.Millisecond)
	require.LessOrEqual(t, w.asked.Load(), int32(2))
	w.blocked.Unlock()
	w.settled(t)
	require.EqualValues(t, 6, w.asked.Load())
}

// A lookup that gets no turn says nothing about the image.
func TestWaitingForATurnEnds(t *testing.T) {
	w := newWorld(func(b *bounds) { b.timeout, b.registry = time.Millisecond, 1 })
	end, err := w.registries.take(t.Context(), "r")
	require.NoError(t, err)
	_, _, err = w.get(t.Context(), w.question("k"))
	require.ErrorContains(t, err, "waiting for earlier image lookups: ")
	require.ErrorAs(t, err, new(*unansweredError))
	end()
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	w := newWorld(func(b *bounds) { b.entries, b.bytes = 3, 3*(entryBytes+1+100) })
	sized := func(key string, size int) {
		q := w.question(key)
		q.ask = func(context.Context) ([]byte, error) {
			return []byte(strings.Repeat("x", size)), nil
		}
		_, _, err := w.get(t.Context(), q)
		require.NoError(t, err)
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		sized(key, 1)
	}
	require.Nil(t, w.known("a"), "entries")
	require.Equal(t, 3, w.entries.Len())
	sized("e", 1000)
	require.Nil(t, w.known("c"), "bytes")
	require.NotNil(t, w.known("e"))
	sized("f", 10_000)
	require.Nil(t, w.known("f"), "too large by itself")
	require.NotNil(t, w.known("e"))
	require.LessOrEqual(t, w.held, w.bytes)

	q := w.question("g")
	q.ask = func(context.Context) ([]byte, error) {
		return nil, errors.New(strings.Repeat("x", 10_000))
	}
	_, _, err := w.get(t.Context(), q)
	require.Error(t, err)
	require.Nil(t, w.known("g"), "so is an error")
}

func TestAPanicIsAFailure(t *testing.T) {
	w := newWorld(nil)
	q := w.question("k")
	q.ask = func(context.Context) ([]byte, error) { panic("oh") }
	_, _, err := w.get(t.Context(), q)
	require.EqualError(t, err, "panic: oh")
}
