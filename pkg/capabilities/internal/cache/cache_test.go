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

package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/internal/cache"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// source counts its calls, and answers with the key and that count.
type source struct{ asked atomic.Int32 }

func (s *source) get(t *testing.T, c *cache.Cache[string, string], key string) string {
	t.Helper()
	value, err := c.Get(t.Context(), key, func(context.Context) (string, error) {
		return fmt.Sprintf("%s%d", key, s.asked.Add(1)), nil
	})
	require.NoError(t, err)
	return value
}

// A shared call has its own trace, which is linked with the traces of all waiting callers.
func TestAQuestionHasATraceOfItsOwn(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("server")
	ctx, request := tracer.Start(t.Context(), "request")
	c := cache.New(cache.Options[string, string]{Entries: 10, TTL: time.Minute})
	var asking trace.SpanContext
	_, err := c.Get(ctx, "a", func(ctx context.Context) (string, error) {
		asking = trace.SpanContextFromContext(ctx)
		return "", nil
	})
	require.NoError(t, err)
	request.End()
	require.Eventually(t, func() bool { return len(recorder.Ended()) == 2 }, 10*time.Second,
		time.Millisecond)
	for _, span := range recorder.Ended() {
		if span.Name() == "request" {
			require.Equal(t, asking, span.Links()[0].SpanContext)
			continue
		}
		require.Equal(t, spans.Look, span.Name())
		require.Equal(t, asking, span.SpanContext())
		require.NotEqual(t, request.SpanContext().TraceID(), asking.TraceID())
		require.Equal(t, request.SpanContext(), span.Links()[0].SpanContext)
	}
}

func TestAnswersAgeFromWhenTheyWereAskedFor(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	c := cache.New(cache.Options[string, string]{Entries: 10, TTL: time.Minute, Clock: clock})
	var s source
	require.Equal(t, "a1", s.get(t, c, "a"))
	clock.Step(time.Minute - 1)
	require.Equal(t, "a1", s.get(t, c, "a"), "fresh, and using it does not renew it")
	clock.Step(1)
	require.Equal(t, "a2", s.get(t, c, "a"))

	_, err := c.Get(t.Context(), "slow", func(context.Context) (string, error) {
		clock.Step(time.Minute)
		return "old", nil
	})
	require.NoError(t, err)
	require.Equal(t, "slow3", s.get(t, c, "slow"), "an answer that took longer than it lasts")
}

func TestEntriesAreBounded(t *testing.T) {
	c := cache.New(cache.Options[string, string]{Entries: 2, TTL: time.Minute})
	var s source
	s.get(t, c, "a")
	s.get(t, c, "b")
	s.get(t, c, "a")
	s.get(t, c, "c")
	require.Equal(t, 2, c.Len())
	require.Equal(t, "a1", s.get(t, c, "a"), "used after b")
	require.Equal(t, "b4", s.get(t, c, "b"), "used before the others")
}

func TestBytesAreBounded(t *testing.T) {
	c := cache.New(cache.Options[string, string]{
		Entries: 10, TTL: time.Minute, Bytes: 10,
		Size: func(key, value string) int64 { return int64(len(key) + len(value)) },
	})
	var s source
	s.get(t, c, "aa")
	s.get(t, c, "bb")
	require.EqualValues(t, 10, c.Bytes())
	s.get(t, c, "c")
	require.EqualValues(t, 8, c.Bytes())
	require.Equal(t, "bb2", s.get(t, c, "bb"))
	require.Equal(t, "aa4", s.get(t, c, "aa"))

	require.Equal(t, "far too large5", s.get(t, c, "far too large"))
	require.Equal(t, "far too large6", s.get(t, c, "far too large"), "was not kept")
	require.Equal(t, "aa4", s.get(t, c, "aa"), "was not pushed out for it")
}

func TestFailuresAreNotKept(t *testing.T) {
	c := cache.New(cache.Options[string, string]{Entries: 10, TTL: time.Minute})
	_, err := c.Get(t.Context(), "a", func(context.Context) (string, error) {
		return "", errors.New("no")
	})
	require.EqualError(t, err, "no")
	_, err = c.Get(t.Context(), "a", func(context.Context) (string, error) { panic("oh") })
	require.EqualError(t, err, "panic: oh")
	require.Zero(t, c.Len())
	require.Equal(t, "a1", (&source{}).get(t, c, "a"))
}

func TestOneQuestionForAllWhoWait(t *testing.T) {
	c := cache.New(cache.Options[string, string]{Entries: 10, TTL: time.Minute})
	asked := make(chan struct{})
	answer := make(chan struct{})
	ask := func(ctx context.Context) (string, error) {
		close(asked) // a second call would panic
		select {
		case <-answer:
			return "yes", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}

	first, giveUp := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := c.Get(first, "a", ask)
		gone <- err
	}()
	<-asked
	var group sync.WaitGroup
	results := make([]string, 10)
	for n := range results {
		group.Go(func() { results[n], _ = c.Get(t.Context(), "a", ask) })
	}
	require.Eventually(t, func() bool { return cache.Waiters(c, "a") == 1+len(results) },
		10*time.Second, time.Millisecond)
	giveUp()
	require.ErrorIs(t, <-gone, context.Canceled)
	close(answer)
	group.Wait()
	for _, result := range results {
		require.Equal(t, "yes", result)
	}
}

func TestAQuestionThatNobodyWaitsForIsDropped(t *testing.T) {
	c := cache.New(cache.Options[string, string]{Entries: 10, TTL: time.Minute})
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan error)
	release := make(chan struct{})
	go giveUp()
	_, err := c.Get(ctx, "a", func(ctx context.Context) (string, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		<-release
		return "late", nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)

	require.Equal(t, "a1", (&source{}).get(t, c, "a"), "who comes later does not wait for it")
	close(release)
	require.Equal(t, "a1", (&source{}).get(t, c, "a"), "and its answer replaces none")
}
