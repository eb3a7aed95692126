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

package tracing_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/wasm-admission/wasm-admission/pkg/capabilities/tracing"
)

// logged returns what f logs, at verbosity 5.
func logged(t *testing.T, f func(ctx context.Context)) string {
	t.Helper()
	logger := ktesting.NewLogger(t,
		ktesting.NewConfig(ktesting.BufferLogs(true), ktesting.Verbosity(5)))
	f(klog.NewContext(t.Context(), logger))
	return logger.GetSink().(ktesting.Underlier).GetBuffer().String()
}

func TestEvents(t *testing.T) {
	for _, test := range []struct{ name, payload, want string }{
		{"info", `{"level":"info","message":"hello","line":3,"file":"a.rs"}`,
			`Policy log policy="p" level="info" text="hello" data="{\"file\":\"a.rs\",\"line\":3}"`},
		{"any case", `{"level":"WARNING","message":"hello"}`,
			`level="warning" text="hello" data="{}"`},
		{"no message", `{"level":"debug"}`, `level="debug" text="" data="{}"`},
		{"null message", `{"level":"error","message":null}`, `level="error" text=""`},
		{"no level", `{"message":"hello"}`, "Policy sent a log event that cannot be read"},
		{"unknown level", `{"level":"loud"}`,
			`err="level: \"loud\" is none of trace, debug, info, warning, error"`},
		{"no JSON", `hello`, "Policy sent a log event that cannot be read"},
		{"wrong message", `{"level":"info","message":{}}`,
			"Policy sent a log event that cannot be read"},
		{"line breaks stay in the value", `{"level":"info","message":"one\ntwo"}`,
			"level=\"info\" text=<\n\tone\n\ttwo\n >"},
	} {
		t.Run(test.name, func(t *testing.T) {
			log := tracing.NewLog("p", 10, 1000)
			require.Contains(t, logged(t, func(ctx context.Context) {
				response, err := log.Call(ctx, nil, "log", []byte(test.payload))
				require.NoError(t, err)
				require.Empty(t, response)
			}), test.want)
		})
	}
}

func TestTraceIsLoggedAtHighVerbosityOnly(t *testing.T) {
	log := tracing.NewLog("p", 10, 1000)
	require.Empty(t, logged(t, func(ctx context.Context) {
		_, err := log.Call(ctx, nil, "log", []byte(`{"level":"trace","message":"hello"}`))
		require.NoError(t, err)
	}))
}

func TestStandardErrorWarns(t *testing.T) {
	log := tracing.NewLog("p", 10, 1000)
	output := logged(t, func(ctx context.Context) {
		log.Line(ctx, "stdout", "hello")
		log.Line(ctx, "stderr", "beware")
	})
	require.Contains(t, output, `level="info" text="hello" source="stdout"`)
	require.Contains(t, output, `level="warning" text="beware" source="stderr"`)
}

func TestLinesAreBounded(t *testing.T) {
	log := tracing.NewLog("p", 10, 5)
	output := logged(t, func(ctx context.Context) {
		log.Line(ctx, "stdout", "hello world")
		log.Line(ctx, "stdout", "äöüß") // the limit splits the third letter
		_, err := log.Call(ctx, nil, "log",
			[]byte(`{"level":"info","message":"hello world","more":"`+strings.Repeat("x", 100)+
				`"}`))
		require.NoError(t, err)
	})
	require.Contains(t, output, `text="hello…" source="stdout"`)
	require.Contains(t, output, `text="äö…" source="stdout"`)
	require.Contains(t, output, `text="hello…" data="{\"mor…"`)
	require.NotContains(t, output, "world")
}

func TestAFloodIsCountedAndDropped(t *testing.T) {
	log := tracing.NewLog("p", 1, 100)
	output := logged(t, func(ctx context.Context) {
		for range 1000 {
			log.Line(ctx, "console", "again")
		}
	})
	require.Equal(t, 1, strings.Count(output, "again"))
}
