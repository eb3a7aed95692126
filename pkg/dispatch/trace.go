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

package dispatch

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"k8s.io/apiserver/pkg/admission"

	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// maxSpans bounds the spans within the span of a policy. Most of them are the host calls of a
// guest, which may make a thousand.
const maxSpans = 128

// startPhase starts the span of a phase, within the span of the request. A request without
// candidate policies has no such span.
func startPhase(ctx context.Context, attr admission.Attributes,
	name string) (context.Context, spans.Span) {
	ctx, span := spans.Start(ctx, name)
	if span.Recording() {
		resource := attr.GetResource().GroupResource().String()
		if attr.GetSubresource() != "" {
			resource += "/" + attr.GetSubresource()
		}
		span.Set(spans.Text(spans.Resource, resource),
			attribute.String(spans.Operation, string(attr.GetOperation())))
		if attr.GetReinvocationContext().IsReinvoke() {
			span.Set(attribute.Bool(spans.Again, true))
		}
	}
	return ctx, span
}

// endPhase records the result of a phase and ends its span. After a panic, there is no result and
// the span is not sent. A rejection is not an error of the span.
func endPhase(span spans.Span, err error) {
	if span.Recording() {
		span.Set(attribute.Bool(spans.Allowed, err == nil))
		span.End()
	}
}

// trace starts the span of an evaluation.
func (e *evaluation) trace(ctx context.Context) context.Context {
	ctx, e.span = spans.Start(ctx, spans.Policy)
	ctx, e.inside = e.span.Within(ctx, maxSpans)
	return ctx
}

// endTrace ends the span of an evaluation after judge. The end time is the time when the policy
// ended.
func (e *evaluation) endTrace() {
	if !e.span.Recording() {
		return
	}
	e.policy().Describe(e.span, e.usage, e.err,
		attribute.String(spans.Mode, string(e.mode)),
		attribute.String(spans.Verdict, string(e.judgement.Outcome)),
		attribute.Bool(spans.Rejected, e.refusal != nil),
		attribute.Bool(spans.Mutated, e.mutation.changed),
	)
	if refused := e.inside.Refused(); refused > 0 {
		e.span.Set(attribute.Int64(spans.Untraced, refused))
	}
	e.span.EndAt(e.ended)
}
