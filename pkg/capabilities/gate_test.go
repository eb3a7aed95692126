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

package capabilities_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities"
	"github.com/wasm-admission/wasm-admission/pkg/capabilities/tracing"
	"github.com/wasm-admission/wasm-admission/pkg/spans"
)

// recorder is a capability that returns the call it received.
type recorder struct{ called int }

func (r *recorder) Call(_ context.Context, caller *capabilities.Caller, operation string,
	payload []byte) ([]byte, error) {
	r.called++
	return []byte(caller.Policy + " " + operation + " " + string(payload)), nil
}

// function is a capability with a constant answer.
type function func() ([]byte, error)

func (f function) Call(context.Context, *capabilities.Caller, string, []byte) ([]byte, error) {
	return f()
}

func grants(t *testing.T, texts ...string) capabilities.Patterns {
	t.Helper()
	patterns, err := capabilities.ParsePatterns(texts)
	require.NoError(t, err)
	return patterns
}

// every returns a map with the same capability in each namespace.
func every(c capabilities.Capability) map[string]capabilities.Capability {
	return map[string]capabilities.Capability{"kubernetes": c, "net": c, "crypto": c, "oci": c}
}

const denied = "Policy has not been granted access to the '%s' host capability. The violation has been reported."

func TestHostCallsAreTraced(t *testing.T) {
	for _, test := range []struct {
		name, namespace, operation string
		grants                     []string
		err                        error
		path, status               string
	}{
		{"answered", "kubernetes", "can_i", []string{"*"}, nil, "kubernetes/can_i", ""},
		{"failed", "kubernetes", "can_i", []string{"*"},
			&capabilities.FailedError{Err: errors.New("secret")}, "kubernetes/can_i", "failed"},
		{"not granted", "oci", "v1/verify", nil, nil, "oci/v1/verify", "refused"},
		{"guest's own words", "secret", "secret", []string{"*"}, nil, "unknown", "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			gate := capabilities.NewGate(capabilities.GateOptions{Grants: grants(t, test.grants...),
				Tracing: &recorder{},
				Shared: every(function(func() ([]byte, error) {
					if test.err != nil {
						return nil, test.err
					}
					return []byte("secret"), nil
				}))})
			spansEnded := tracetest.NewSpanRecorder()
			ctx, request := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spansEnded)).
				Tracer("server").Start(t.Context(), "request")
			_, err := gate.Call(ctx, abi.HostCall{
				Binding:   "kubewarden",
				Namespace: test.namespace,
				Operation: test.operation,
				Payload:   []byte("{}"),
			})
			require.Equal(t, test.status != "", err != nil)
			// tracing has no span
			_, _ = gate.Call(ctx,
				abi.HostCall{Binding: "kubewarden", Namespace: "tracing", Operation: "log"})

			require.Len(t, spansEnded.Ended(), 1)
			span := spansEnded.Ended()[0]
			require.Equal(t, spans.HostCall, span.Name())
			require.Equal(t, request.SpanContext().SpanID(), span.Parent().SpanID())
			answered := 0
			if err == nil {
				answered = len("secret")
			}
			require.Equal(t, []attribute.KeyValue{attribute.String(spans.Capability, test.path),
				attribute.Int(spans.RequestBytes, 2), attribute.Int(spans.ResponseBytes, answered)},
				span.Attributes()[:3])
			require.Equal(t, test.status, span.Status().Description)
		})
	}
}

func TestGateChecksInOrder(t *testing.T) {
	gate := func(texts ...string) *capabilities.Gate {
		shared := every(&recorder{})
		delete(shared, "oci")
		return capabilities.NewGate(capabilities.GateOptions{
			Caller: capabilities.Caller{Policy: "p"}, Grants: grants(t, texts...),
			Tracing: tracing.NewLog("p", 100, 100), Shared: shared,
		})
	}
	for _, test := range []struct {
		name                          string
		gate                          *capabilities.Gate
		binding, namespace, operation string
		err                           string
	}{
		{"tracing needs no grant", gate(), "kubewarden", "tracing", "log", ""},
		{"tracing knows one operation", gate(), "kubewarden", "tracing", "read",
			"unknown operation: read"},
		{"binding comes first", gate(), "tracing", "kubernetes", "log", "unknown binding: tracing"},
		{"no binding", gate("*"), "", "kubernetes", "can_i", "unknown binding: "},
		{"grant comes before namespace", gate("oci/*"), "kubewarden", "moon", "v1/verify",
			strings.Replace(denied, "%s", "moon/v1/verify", 1)},
		{"grant comes before operation", gate("oci/*"), "kubewarden", "kubernetes", "moon",
			strings.Replace(denied, "%s", "kubernetes/moon", 1)},
		{"namespace", gate("*"), "kubewarden", "moon", "v1/verify", "unknown namespace: moon"},
		{"namespace with a part of the operation", gate("*"), "kubewarden", "oci/v1", "verify",
			"unknown namespace: oci/v1"},
		{"operation", gate("*"), "kubewarden", "kubernetes", "moon", "unknown operation: moon"},
		{"removed long ago", gate("*"), "kubewarden", "kubernetes", "namespaces",
			"unknown operation: namespaces"},
		{"group of operations", gate("*"), "kubewarden", "oci", "v1", "unknown operation: v1"},
		{"more than an operation", gate("*"), "kubewarden", "oci", "v1/verify/",
			"unknown operation: v1/verify/"},
		{"not there", gate("*"), "kubewarden", "oci", "v1/verify",
			"Callback evaluation failure: host capability oci/v1/verify is not available here"},
		{"granted", gate("kubernetes/can_i"), "kubewarden", "kubernetes", "can_i", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.gate.Call(t.Context(), abi.HostCall{
				Binding:   test.binding,
				Namespace: test.namespace,
				Operation: test.operation,
				Payload:   []byte("{"),
			})
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.err)
		})
	}
}

func TestCapabilitiesAreToldWhoAsks(t *testing.T) {
	gate := capabilities.NewGate(capabilities.GateOptions{
		Caller: capabilities.Caller{Policy: "p"}, Grants: grants(t, "net/*"),
		Shared: every(&recorder{}),
	})
	answer, err := gate.Call(t.Context(), abi.HostCall{
		Binding:   "kubewarden",
		Namespace: "net",
		Operation: "v1/dns_lookup_host",
		Payload:   []byte(`"a"`),
	})
	require.NoError(t, err)
	require.Equal(t, `p v1/dns_lookup_host "a"`, string(answer))
}

func TestPanicsInCapabilitiesAreErrors(t *testing.T) {
	gate := capabilities.NewGate(capabilities.GateOptions{
		Grants: grants(t, "*"), Shared: every(function(func() ([]byte, error) { panic("secret") })),
	})
	_, err := gate.Call(t.Context(),
		abi.HostCall{Binding: "kubewarden", Namespace: "net", Operation: "v1/dns_lookup_host"})
	require.EqualError(t, err, "Callback evaluation failure: internal error in host capability net")
}

func TestFailedErrorUnwraps(t *testing.T) {
	cause := errors.New("no")
	require.ErrorIs(t, &capabilities.FailedError{Err: cause}, cause)
	require.EqualError(t, &capabilities.FailedError{Err: cause}, "Callback evaluation failure: no")
}

func TestViolationsAreLogged(t *testing.T) {
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	gate := capabilities.NewGate(capabilities.GateOptions{Caller: capabilities.Caller{Policy: "p"}})
	for range 1000 {
		_, err := gate.Call(klog.NewContext(t.Context(), logger), abi.HostCall{
			Binding: "kubewarden", Namespace: "kubernetes",
			Operation: "get_resource" + strings.Repeat("x", 10_000),
		})
		require.Error(t, err)
	}
	logged := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
	require.Contains(t, logged, `policy="p" hostCapability="kubernetes/get_resourcexxx`)
	require.Less(t, len(logged), 50*1000, "lines are few and short")
}
