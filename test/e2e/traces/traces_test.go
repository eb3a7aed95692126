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

package traces_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/spans"
	"github.com/wasm-admission/wasm-admission/test/e2e/traces"
)

// tree holds the children of a span. The keys are the names of the spans, with the name of the
// policy if there is one.
type tree map[string]traces.Span

// inside returns the direct children of a span.
func inside(trace []traces.Span, parent traces.Span) tree {
	within := tree{}
	for _, span := range trace {
		if span.Parent == parent.ID {
			within[strings.TrimSpace(span.Name+" "+span.Attributes[spans.PolicyName]+
				span.Attributes[spans.Capability])] = span
		}
	}
	return within
}

// one returns the only span with a name that does not belong to a reinvocation.
func one(t *testing.T, trace []traces.Span, name string) traces.Span {
	t.Helper()
	var found []traces.Span
	for _, span := range trace {
		switch {
		case span.Name != name:
		case span.Attributes[spans.Again] == "true":
			require.Equal(t, "0", span.Attributes[spans.Policies],
				"the mutating policy must not be reinvoked")
		default:
			found = append(found, span)
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

// The apiserver's trace of a request contains the spans of the policies.
func TestTracesOfRequests(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	receiver, err := traces.Receive(ctx)
	require.NoError(t, err)
	defer receiver.Close()
	scene, err := traces.Begin(ctx, filepath.Join("..", "..", ".."), t.TempDir(), receiver.Address)
	require.NoError(t, err)
	defer func() { require.NoError(t, scene.Stop()) }()

	for _, test := range []struct {
		name, image      string
		privileged       bool
		denied           bool
		latest, verdicts string // of no-latest-tag, and of no-privileged-pods
	}{
		{"allowed", "registry.example.com/hidden:1", false, false, "accepted", "accepted"},
		{"monitored", "registry.example.com/hidden:latest", false, false, "denied", "accepted"},
		{"denied", "registry.example.com/hidden:1", true, true, "accepted", "denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			auditID, pod, err := scene.CreatePod(ctx, test.name+"-hidden", test.image,
				test.privileged)
			require.Equal(t, test.denied, err != nil, "%v", err)
			trace, err := receiver.Request(ctx, auditID)
			require.NoError(t, err)

			admit, validate := one(t, trace, spans.Admit), one(t, trace, spans.Validate)
			for _, phase := range []traces.Span{admit, validate} {
				require.NotEmpty(t, phase.Parent, "the phase must be inside the apiserver's trace")
				require.Equal(t, "pods", phase.Attributes[spans.Resource])
				require.Equal(t, "CREATE", phase.Attributes[spans.Operation])
			}
			require.Equal(t, "true", admit.Attributes[spans.Allowed])
			require.Equal(t, map[bool]string{true: "false", false: "true"}[test.denied],
				validate.Attributes[spans.Allowed])

			mutators := inside(trace, admit)
			require.Len(t, mutators, 1)
			owner := mutators[spans.Policy+" label-owner"]
			requireUsage(t, owner, "accepted")
			require.Equal(t, "true", owner.Attributes[spans.Mutated])
			calls := inside(trace, owner)
			require.Contains(t, calls, spans.HostCall+" kubernetes/get_resource")
			require.Empty(t, calls[spans.HostCall+" kubernetes/get_resource"].Status)

			validators := inside(trace, validate)
			require.Len(t, validators, 2)
			latest, privileged := validators[spans.Policy+" no-latest-tag"],
				validators[spans.Policy+" no-privileged-pods"]
			requireUsage(t, latest, test.latest)
			require.Equal(t, "monitor", latest.Attributes[spans.Mode])
			require.Equal(t, "false", latest.Attributes[spans.Rejected])
			requireUsage(t, privileged, test.verdicts)
			if !test.denied {
				require.Equal(t, "secret-team", pod.Labels["owner"])
			}
			requireNothingOfTheObject(t, trace)
		})
	}
}

func requireUsage(t *testing.T, span traces.Span, verdict string) {
	t.Helper()
	require.Equal(t, verdict, span.Attributes[spans.Verdict])
	require.Regexp(t, "^sha256:[0-9a-f]{64}$", span.Attributes[spans.ModuleDigest])
	require.Regexp(t, "^[1-9][0-9]*$", span.Attributes[spans.Fuel])
	require.NotEmpty(t, span.Attributes[spans.Wait])
	require.NotEmpty(t, span.Attributes[spans.Reset])
}

// requireNothingOfTheObject checks that our own spans contain no data of the object. The
// apiserver's spans contain the URL.
func requireNothingOfTheObject(t *testing.T, trace []traces.Span) {
	t.Helper()
	for _, span := range trace {
		if !strings.HasPrefix(span.Name, "WasmAdmission.") {
			continue
		}
		require.NotContains(t, span.Status, "hidden")
		for key, value := range span.Attributes {
			require.NotContains(t, value, "hidden", key)
			require.NotContains(t, value, "secret-team", key)
		}
	}
}
