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

package spans_test

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// request returns the context of a request that a server's tracing samples or does not.
func request(t *testing.T, sampler sdktrace.Sampler) (context.Context, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler),
		sdktrace.WithSpanProcessor(recorder))
	ctx, span := provider.Tracer("server").Start(t.Context(), "request")
	t.Cleanup(func() { span.End() })
	return ctx, recorder
}

// A request that is not recorded has no spans, and they cost it nothing.
func TestUnrecordedRequestsHaveNoSpans(t *testing.T) {
	unsampled, recorder := request(t, sdktrace.NeverSample())
	for name, ctx := range map[string]context.Context{
		"no tracing":  context.Background(),
		"not sampled": unsampled,
	} {
		t.Run(name, func(t *testing.T) {
			require.Zero(t, testing.AllocsPerRun(100, func() {
				within, span := spans.Start(ctx, spans.Policy)
				within, bound := span.Within(within, 1)
				spans.Tell(within, spans.Text(spans.PolicyName, "p"))
				spans.Link(within, span)
				if span.Recording() || bound.Refused() != 0 {
					panic("a span was made")
				}
				span.Fail("other")
				span.EndAt(time.Time{})
			}))
			_, span := spans.StartApart(ctx, spans.Look)
			require.False(t, span.Recording())
		})
	}
	require.Empty(t, recorder.Ended())
}

func TestSpansAreInsideTheRequests(t *testing.T) {
	ctx, recorder := request(t, sdktrace.AlwaysSample())
	within, span := spans.Start(ctx, spans.Policy)
	spans.Tell(within, spans.Text(spans.LookResult, "cached"))
	span.Set(spans.Seconds(spans.Wait, 1500*time.Millisecond))
	span.Fail("deadline")
	at := time.Unix(1_900_000_000, 0)
	span.EndAt(at)

	ended := recorder.Ended()
	require.Len(t, ended, 1)
	require.Equal(t, spans.Policy, ended[0].Name())
	require.Equal(t, trace.SpanContextFromContext(ctx).SpanID(), ended[0].Parent().SpanID())
	require.Equal(t, []attribute.KeyValue{
		attribute.String(spans.LookResult, "cached"),
		attribute.Float64(spans.Wait, 1.5),
	}, ended[0].Attributes())
	require.Equal(t, "deadline", ended[0].Status().Description)
	require.True(t, at.Equal(ended[0].EndTime()))
}

// A span that others may wait for is in its own trace. Each of the two spans has a link to the
// other.
func TestSpansApartAreLinked(t *testing.T) {
	ctx, recorder := request(t, sdktrace.AlwaysSample())
	own := trace.SpanContextFromContext(ctx)
	call, waiting := spans.Start(ctx, spans.HostCall)
	within, span := spans.StartApart(call, spans.Look)
	spans.Link(call, span)
	waiting.End()
	span.End()

	ended := recorder.Ended()
	require.Len(t, ended, 2)
	require.NotEqual(t, own.TraceID(), ended[1].SpanContext().TraceID())
	require.False(t, ended[1].Parent().IsValid())
	require.Equal(t, ended[0].SpanContext(), ended[1].Links()[0].SpanContext)
	require.Equal(t, ended[1].SpanContext(), ended[0].Links()[0].SpanContext)
	require.Equal(t, ended[1].SpanContext(), trace.SpanContextFromContext(within))
}

// A guest decides how many host calls it makes, but must not decide how many spans there are.
func TestSpansAreBounded(t *testing.T) {
	ctx, recorder := request(t, sdktrace.AlwaysSample())
	within, policy := spans.Start(ctx, spans.Policy)
	within, bound := policy.Within(within, 2)
	for range 5 {
		call, span := spans.Start(within, spans.HostCall)
		if !span.Recording() {
			_, inner := spans.Start(call, spans.Member)
			require.False(t, inner.Recording(), "nothing is recorded inside what is not")
		}
		span.End()
	}
	require.Equal(t, int64(3), bound.Refused())
	require.Len(t, recorder.Ended(), 2)
}

// The exporter drops a whole batch if one text is not valid UTF-8.
func TestTextsAreBounded(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("x", 300),
		strings.Repeat("€", 300),
		"a\xffb",
		strings.Repeat("\xc3", 300),
	} {
		got := spans.Text("key", text).Value.AsString()
		require.LessOrEqual(t, len(got), 256)
		require.True(t, utf8.ValidString(got))
	}
	require.Equal(t, "ab", spans.Text("key", "a\xffb").Value.AsString())
}

// strange is a provider that cannot be compared, and strangeSpan one of its spans.
type (
	strange struct {
		trace.TracerProvider
		_ []string
	}
	strangeSpan struct {
		trace.Span
		provider strange
	}
)

func (s strangeSpan) TracerProvider() trace.TracerProvider { return s.provider }

// A tracer is cached, but only for the spans of its provider.
func TestSpansUseTheRequestsProvider(t *testing.T) {
	first, firstRecorder := request(t, sdktrace.AlwaysSample())
	second, secondRecorder := request(t, sdktrace.AlwaysSample())
	third, thirdRecorder := request(t, sdktrace.AlwaysSample())
	span := trace.SpanFromContext(third)
	third = trace.ContextWithSpan(third,
		strangeSpan{Span: span, provider: strange{TracerProvider: span.TracerProvider()}})
	for n := range 3 {
		for _, test := range []struct {
			ctx      context.Context
			recorder *tracetest.SpanRecorder
		}{{first, firstRecorder}, {second, secondRecorder}, {third, thirdRecorder}} {
			_, span := spans.Start(test.ctx, spans.Policy)
			span.End()
			require.Len(t, test.recorder.Ended(), n+1)
		}
	}
}
