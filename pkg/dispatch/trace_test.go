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

package dispatch_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// traced returns the context of a request with the given sampling, and the recorded spans.
func traced(t testing.TB, sampler sdktrace.Sampler) (context.Context, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler),
		sdktrace.WithSpanProcessor(recorder))
	ctx, span := provider.Tracer("server").Start(context.Background(), "request")
	t.Cleanup(func() { span.End() })
	return ctx, recorder
}

// named returns the only span with this name within another.
func named(t *testing.T, recorder *tracetest.SpanRecorder, inside trace.SpanContext,
	name string) (sdktrace.ReadOnlySpan, map[attribute.Key]any) {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, span := range recorder.Ended() {
		if span.Name() == name && span.Parent().SpanID() == inside.SpanID() {
			found = append(found, span)
		}
	}
	require.Len(t, found, 1, name)
	attributes := map[attribute.Key]any{}
	for _, a := range found[0].Attributes() {
		attributes[a.Key] = a.Value.AsInterface()
	}
	return found[0], attributes
}

func TestSpansOfAnEvaluation(t *testing.T) {
	for _, test := range []struct {
		name   string
		policy func(*wasmadmission.Policy)
		want   map[attribute.Key]any
		status string
	}{
		{"accepted", policy("p", "accept"), map[attribute.Key]any{
			spans.Verdict:  "accepted",
			spans.Rejected: false,
			spans.Mode:     "protect",
		}, ""},
		{"denied", policy("p", "deny"),
			map[attribute.Key]any{spans.Verdict: "denied", spans.Rejected: true}, ""},
		{"monitored", func(p *wasmadmission.Policy) { policy("p", "deny")(p); monitoring(p) },
			map[attribute.Key]any{
				spans.Verdict:  "denied",
				spans.Rejected: false,
				spans.Mode:     "monitor",
			}, ""},
		{"trap", policy("p", "trap"),
			map[attribute.Key]any{spans.Verdict: "failed_closed", spans.Rejected: true},
			"unreachable"},
		{"trap that is ignored", func(p *wasmadmission.Policy) {
			policy("p", "trap")(p)
			ignoring(p)
		},
			map[attribute.Key]any{spans.Verdict: "failed_open", spans.Rejected: false},
			"unreachable"},
		{"condition that fails", func(p *wasmadmission.Policy) {
			policy("p", "accept")(p)
			under("object.data.none == 'x'")(p)
		},
			map[attribute.Key]any{spans.Verdict: "failed_closed", spans.Fuel: int64(0)}, "other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t, wasmadmission.Exemptions{})
			f.use(t, test.policy)
			ctx, recorder := traced(t, sdktrace.AlwaysSample())
			err := f.validate(ctx, somebody)

			phase, attributes := named(t, recorder, trace.SpanContextFromContext(ctx),
				spans.Validate)
			require.Equal(t, map[attribute.Key]any{
				spans.Resource:  "configmaps",
				spans.Operation: "CREATE",
				spans.Allowed:   err == nil,
				spans.Policies:  int64(1),
			}, attributes)
			span, attributes := named(t, recorder, phase.SpanContext(), spans.Policy)
			for key, value := range test.want {
				require.Equal(t, value, attributes[key], key)
			}
			require.Equal(t, test.status, span.Status().Description)
			require.Equal(t, "p", attributes[spans.PolicyName])
			require.Regexp(t, "^sha256:[0-9a-f]{64}$", attributes[spans.ModuleDigest])
			if test.name != "condition that fails" {
				require.Positive(t, attributes[spans.Fuel])
				require.Positive(t, attributes[spans.Reset])
			}
			require.False(t, phase.StartTime().After(span.StartTime()) ||
				span.EndTime().After(phase.EndTime()), "the policy is inside its phase")
		})
	}
}

func TestSpansOfAMutation(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, answers("p", wanting("", `{"a":"two"}`)))
	ctx, recorder := traced(t, sdktrace.AlwaysSample())
	a := newConfigMap(t, admission.Create)
	require.NoError(t, a.by(ctx, f))
	phase, _ := named(t, recorder, trace.SpanContextFromContext(ctx), spans.Admit)
	_, attributes := named(t, recorder, phase.SpanContext(), spans.Policy)
	require.Equal(t, true, attributes[spans.Mutated])

	ctx, recorder = traced(t, sdktrace.AlwaysSample())
	reinvoke(t, a.attr)
	require.NoError(t, a.by(ctx, f))
	_, attributes = named(t, recorder, trace.SpanContextFromContext(ctx), spans.Admit)
	require.Equal(t, true, attributes[spans.Again])
	require.Equal(t, int64(0), attributes[spans.Policies])
}

// A trace contains nothing of the object or of what policies say about it.
func TestSpansHaveNothingOfTheObject(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t,
		answers("denier", `{"accepted":false,"message":"hidden","warnings":["hidden"]}`,
			validating),
		answers("failing", `{"accepted":"hidden"}`, validating),
		func(p *wasmadmission.Policy) {
			policy("conditional", "accept")(p)
			under("int(object.data.hidden) == 1")(p)
		})
	ctx, recorder := traced(t, sdktrace.AlwaysSample())
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "hidden", Name: "hidden"},
		Data:       map[string]string{"hidden": "hidden"},
	}
	require.ErrorContains(t,
		f.dispatcher.Validate(ctx, create(object, "configmaps", somebody),
			admission.NewObjectInterfacesFromScheme(scheme.Scheme)), "hidden")
	require.Len(t, recorder.Ended(), 4)
	for _, span := range recorder.Ended() {
		require.Empty(t, span.Events())
		require.NotContains(t, span.Status().Description, "hidden")
		for _, a := range span.Attributes() {
			require.NotContains(t, a.Value.String(), "hidden", a.Key)
		}
	}
}

// If tracing is configured, a request that is not sampled costs nothing more.
func TestUnsampledRequestsAllocateNothingMore(t *testing.T) {
	f := newFixture(t, wasmadmission.Exemptions{})
	f.use(t, policy("p", "accept"), answers("m", `{"accepted":true}`))
	unsampled, recorder := traced(t, sdktrace.NeverSample())
	o := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "any"}}
	wanted, unwanted := create(object, "configmaps", somebody), create(object, "secrets", somebody)
	// The garbage collector empties pools, and the race detector does so at random. So the
	// allocations of one request vary, but their mean over many requests does not.
	const requests = 2000
	allocations := func(ctx context.Context, attr admission.Attributes) float64 {
		return testing.AllocsPerRun(1, func() {
			for range requests {
				if err := f.dispatcher.Validate(ctx, attr, o); err != nil {
					panic(err)
				}
			}
		}) / requests
	}
	require.InDelta(t, 0, allocations(unsampled, unwanted), 0.5)
	require.InDelta(t, allocations(context.Background(), wanted), allocations(unsampled, wanted),
		0.5)
	require.Empty(t, recorder.Ended())
}
