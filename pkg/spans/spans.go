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

// Package spans adds what policies do to the trace of the request.
//
// It only starts a span within a span that is recorded. So whoever started that span, such as the
// apiserver, decides with its configuration which requests are sampled. Without such a span, the
// package creates and allocates nothing. It uses OpenTelemetry's interfaces, and the tracer of the
// span in the context, so that no embedder has to pass one.
//
// Attributes contain names and numbers of policies and their usage, but nothing from an object and
// no text from a guest, because traces are kept in places where secrets must not be.
package spans

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope is the instrumentation scope of the spans.
const scope = "github.com/wasm-admission/wasm-admission"

// Names of spans.
const (
	// Admit and Validate are the phases of a request that has candidate policies.
	Admit    = "WasmAdmission.Admit"
	Validate = "WasmAdmission.Validate"
	// Policy is a policy's evaluation of the request, and Member the evaluation by one policy of a
	// group.
	Policy = "WasmAdmission.Policy"
	Member = "WasmAdmission.Member"
	// HostCall is a host call of a guest, and Inventory the read of the cluster for a guest that
	// cannot make host calls.
	HostCall  = "WasmAdmission.HostCall"
	Inventory = "WasmAdmission.Inventory"
	// Look is work that several requests may wait for. It has its own trace.
	Look = "WasmAdmission.Look"
)

// maxTextBytes bounds the size of a text in an attribute.
const maxTextBytes = 256

// Span is a span that is recorded. The methods of the zero value do nothing. It is safe for
// concurrent use.
type Span struct{ recorded trace.Span }

// Start starts a span within the one in ctx, if that is recorded and its [Bound] allows another.
// The caller must end it.
func Start(ctx context.Context, name string) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	if b, bounded := ctx.Value(boundKey{}).(*Bound); bounded && b.left.Add(-1) < 0 {
		// Spans within this one are not recorded either.
		return trace.ContextWithSpanContext(ctx, parent.SpanContext()), Span{}
	}
	ctx, span := tracerOf(parent).Start(ctx, name)
	return ctx, of(span)
}

// StartApart starts a span in its own trace, for work that may continue after the request that
// started it has ended. It links the span to the one in ctx. The sampler of new traces decides
// whether it is recorded. The caller must end it.
func StartApart(ctx context.Context, name string) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := tracerOf(parent).Start(ctx, name, trace.WithNewRoot(),
		trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()}))
	return ctx, of(span)
}

// tracer is a tracer and its provider.
type tracer struct {
	trace.Tracer
	provider trace.TracerProvider
}

// last caches the latest tracer. Looking one up takes longer than starting a span, and nearly
// always all spans of a process have the same provider.
var last atomic.Pointer[tracer]

// tracerOf returns the tracer of the span's provider.
func tracerOf(span trace.Span) trace.Tracer {
	provider := span.TracerProvider()
	// Only pointers are certain to be comparable.
	if reflect.TypeOf(provider).Kind() != reflect.Pointer {
		return provider.Tracer(scope)
	}
	if known := last.Load(); known != nil && known.provider == provider {
		return known.Tracer
	}
	found := &tracer{provider.Tracer(scope), provider}
	last.Store(found)
	return found.Tracer
}

func of(span trace.Span) Span {
	if !span.IsRecording() {
		return Span{}
	}
	return Span{span}
}

// Link links the span in ctx to another span that it waits for.
func Link(ctx context.Context, other Span) {
	if parent := trace.SpanFromContext(ctx); other.Recording() && parent.IsRecording() {
		parent.AddLink(trace.Link{SpanContext: other.recorded.SpanContext()})
	}
}

// Tell sets an attribute of the span in ctx.
func Tell(ctx context.Context, a attribute.KeyValue) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(a)
	}
}

// Recording reports whether the span is recorded. A caller can check it before it creates
// attributes.
func (s Span) Recording() bool { return s.recorded != nil }

// Set sets attributes.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if !s.Recording() {
		return
	}
	// A span copies its arguments. The caller's slice would still escape to the heap, because the
	// span is an interface. With a reused slice, it stays on the stack.
	kept, _ := slicesOfAttributes.Get().(*[]attribute.KeyValue)
	*kept = append((*kept)[:0], attributes...)
	s.recorded.SetAttributes(*kept...)
	clear(*kept)
	slicesOfAttributes.Put(kept)
}

var slicesOfAttributes = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}

// Fail marks the span as failed, with the cause in one word.
func (s Span) Fail(cause string) {
	if s.Recording() {
		s.recorded.SetStatus(codes.Error, cut(cause))
	}
}

// End ends the span.
func (s Span) End() {
	if s.Recording() {
		s.recorded.End()
	}
}

// EndAt ends the span at an earlier time, or now if the time is zero.
func (s Span) EndAt(at time.Time) {
	if at.IsZero() {
		s.End()
	} else if s.Recording() {
		s.recorded.End(trace.WithTimestamp(at))
	}
}

// Bound bounds the number of spans within a span, because guests decide how many host calls they
// make. It is also the context in which it is found.
type Bound struct {
	context.Context
	left atomic.Int64
}

type boundKey struct{}

// Value implements [context.Context].
func (b *Bound) Value(key any) any {
	if key == (boundKey{}) {
		return b
	}
	return b.Context.Value(key)
}

// Within returns a context that bounds how many spans are started with it and with contexts derived
// from it.
func (s Span) Within(ctx context.Context, most int) (context.Context, *Bound) {
	if !s.Recording() {
		return ctx, nil
	}
	b := &Bound{Context: ctx}
	b.left.Store(int64(most))
	return b, b
}

// Refused returns how many spans exceeded the bound. A nil Bound returns 0.
func (b *Bound) Refused() int64 {
	if b == nil {
		return 0
	}
	return max(0, -b.left.Load())
}

// Text returns an attribute with a text. It cuts a text that is too long, and replaces invalid
// UTF-8, for which the exporter would drop the whole batch.
func Text(key, value string) attribute.KeyValue { return attribute.String(key, cut(value)) }

// Seconds returns an attribute of a duration.
func Seconds(key string, d time.Duration) attribute.KeyValue {
	return attribute.Float64(key, d.Seconds())
}

func cut(text string) string {
	if len(text) > maxTextBytes {
		text = text[:maxTextBytes]
	}
	return strings.ToValidUTF8(text, "")
}
