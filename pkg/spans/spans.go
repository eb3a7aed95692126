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

// Package spans puts what policies do into the trace of the request that they do it
// for.
//
// A span is made only inside one that is recorded: who samples requests, and by what
// configuration, is whoever made the span in the context, as the apiserver does. Without
// such a span nothing is made and nothing is allocated. OpenTelemetry's own interface is
// used, and the tracer is that of the span in the context, so that no embedder hands one in.
//
// Attributes have names and numbers of policies and of what they used, and nothing of an
// object, nor what a guest says: traces are kept where secrets are not.
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

// scope names whose spans these are.
const scope = "github.com/wasm-admission/wasm-admission"

// Names of spans.
const (
	// Admit and Validate are the phases of a request that any policy was a candidate for.
	Admit    = "WasmAdmission.Admit"
	Validate = "WasmAdmission.Validate"
	// Policy is a policy's evaluation of the request, and Member one of a policy in a group.
	Policy = "WasmAdmission.Policy"
	Member = "WasmAdmission.Member"
	// HostCall is a question of a guest, and Inventory the look at the cluster of a guest
	// that cannot ask.
	HostCall  = "WasmAdmission.HostCall"
	Inventory = "WasmAdmission.Inventory"
	// Look is what several requests may wait for, in a trace of its own.
	Look = "WasmAdmission.Look"
)

// maxTextBytes bounds a text in an attribute.
const maxTextBytes = 256

// Span is a span that is recorded. The zero value is none: it takes everything and does
// nothing. It is safe for concurrent use.
type Span struct{ recorded trace.Span }

// Start starts a span inside the one in ctx, if that is recorded and its [Bound] allows it.
// The caller ends it.
func Start(ctx context.Context, name string) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	if b, bounded := ctx.Value(boundKey{}).(*Bound); bounded && b.left.Add(-1) < 0 {
		// What is inside it is not recorded either.
		return trace.ContextWithSpanContext(ctx, parent.SpanContext()), Span{}
	}
	ctx, span := tracerOf(parent).Start(ctx, name)
	return ctx, of(span)
}

// StartApart starts a span in a trace of its own, for what goes on when the request that
// it was begun for has ended, and links it to the span in ctx. Whether it is recorded is up
// to the sampler of new traces. The caller ends it.
func StartApart(ctx context.Context, name string) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := tracerOf(parent).Start(ctx, name, trace.WithNewRoot(),
		trace.WithLinks(trace.Link{SpanContext: parent.SpanContext()}))
	return ctx, of(span)
}

// tracer is one with the provider that it is of.
type tracer struct {
	trace.Tracer
	provider trace.TracerProvider
}

// last is the tracer that was looked up last: that takes longer than to make a span, and all
// spans of a process are of one provider, or nearly so.
var last atomic.Pointer[tracer]

// tracerOf returns the tracer of the span's provider.
func tracerOf(span trace.Span) trace.Tracer {
	provider := span.TracerProvider()
	// Others than pointers need not be comparable.
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

// Link links the span in ctx to another, which it waits for.
func Link(ctx context.Context, other Span) {
	if parent := trace.SpanFromContext(ctx); other.Recording() && parent.IsRecording() {
		parent.AddLink(trace.Link{SpanContext: other.recorded.SpanContext()})
	}
}

// Tell adds an attribute to the span in ctx.
func Tell(ctx context.Context, a attribute.KeyValue) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(a)
	}
}

// Recording is whether anybody wants to know anything of the span. Who asks before making
// attributes makes none in vain.
func (s Span) Recording() bool { return s.recorded != nil }

// Set adds attributes.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if !s.Recording() {
		return
	}
	// A span copies what it is given. The slice of the caller would escape to the heap, as
	// the span is an interface. One that is used again keeps it on the stack.
	kept, _ := slicesOfAttributes.Get().(*[]attribute.KeyValue)
	*kept = append((*kept)[:0], attributes...)
	s.recorded.SetAttributes(*kept...)
	clear(*kept)
	slicesOfAttributes.Put(kept)
}

var slicesOfAttributes = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}

// Fail says that what the span is of has failed, and the cause in a word.
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

// EndAt ends the span at a time that has passed, or now if that is zero.
func (s Span) EndAt(at time.Time) {
	if at.IsZero() {
		s.End()
	} else if s.Recording() {
		s.recorded.End(trace.WithTimestamp(at))
	}
}

// Bound is how many spans there may be inside of one. Guests decide how many host calls
// they make. It is the context that it is found in, too.
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

// Within bounds how many spans are started with the context that it returns, and with
// those made of it.
func (s Span) Within(ctx context.Context, most int) (context.Context, *Bound) {
	if !s.Recording() {
		return ctx, nil
	}
	b := &Bound{Context: ctx}
	b.left.Store(int64(most))
	return b, b
}

// Refused returns how many spans were too many. A nil Bound refuses none.
func (b *Bound) Refused() int64 {
	if b == nil {
		return 0
	}
	return max(0, -b.left.Load())
}

// Text returns an attribute, of a text that is cut if it is too long. What is no UTF-8 is
// replaced: the exporter would lose all that it sends at a time.
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
