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

package topdown_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego"
	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
	"github.com/wasm-admission/wasm-admission/pkg/engine"
)

const samples = "../../../../test/policies"

// inventory is a document that represents a cluster.
type inventory []byte

func (d inventory) Inventory(context.Context, abi.ExecutionMode) ([]byte, uint64, error) {
	return d, 1, nil
}

func environment() *abi.Environment {
	return &abi.Environment{
		Timeout: time.Minute,
		Limits: abi.Limits{
			RequestBytes: 1 << 20, ResponseBytes: 1 << 20, HostCallPayloadBytes: 1 << 20,
			HostCalls: 10, LogLineBytes: 100,
		},
	}
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{samples}, path...)...))
	require.NoError(t, err)
	return text
}

func load(t testing.TB, policy string, mode abi.ExecutionMode) *rego.Guest {
	t.Helper()
	e, err := engine.New(engine.Options{Compilation: engine.InProcess})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	guest, err := rego.Load(t.Context(), e, read(t, policy, "policy.wasm"), mode,
		topdown.Builtins{})
	require.NoError(t, err)
	t.Cleanup(guest.Close)
	return guest
}

// sample is a request from a policy's testdata with its expected outcome.
type sample struct {
	request, settings string
	refused           string
	code              int32
	warnings          []string
	audit             map[string]string
	// inventory reports whether the policy sees the cluster from its testdata.
	inventory bool
}

const teams = `{"teams":{"web":"Ann"}}`

var teamLabel = []sample{
	{request: "pod-create", audit: map[string]string{"owner": "Ann"}, warnings: []string{}},
	{request: "pod-create-annotated"},
	{
		request: "pod-create-other-owner", audit: map[string]string{"owner": "Ann"},
		warnings: []string{"owner is Ann, not Eve"},
	},
	{request: "pod-create-no-label", refused: "label team is missing", code: 422},
	{request: "pod-create-unknown-team", refused: `there is no team "we\"b", only web`, code: 422},
	{
		request: "pod-create", settings: `{"teams":{"a":"x","b":"y"}}`,
		refused: `there is no team "web", only a, b`, code: 422,
	},
	{request: "pod-delete"},
}

var uniqueIngressHost = []sample{
	{request: "ingress-create", inventory: true},
	{
		request: "ingress-create-taken", inventory: true,
		refused: "host b.example.com belongs to Ingress blog/main, host a.example.com belongs to Ingress shop/web",
	},
	{
		request: "ingress-create-taken", inventory: true, settings: `{"except":["a.example.com"]}`,
		refused: "host b.example.com belongs to Ingress blog/main",
	},
	{request: "ingress-update-own", inventory: true},
	{request: "ingress-create-taken"},
}

func (s *sample) check(t testing.TB, guest *rego.Guest, policy, settings string) {
	t.Helper()
	if s.settings != "" {
		settings = s.settings
	}
	env := environment()
	if s.inventory {
		env.Inventory = inventory(read(t, policy, "testdata", "inventory", "cluster.json"))
	}
	got, usage, err := guest.Validate(t.Context(), env,
		read(t, policy, "testdata", s.request+".json"), []byte(settings))
	require.NoError(t, err)
	require.Positive(t, usage.Fuel)
	require.Positive(t, usage.MemoryBytes)
	require.Equal(t, s.refused, got.Message)
	require.Equal(t, s.refused == "", got.Accepted)
	require.Equal(t, s.code, got.Code)
	require.Equal(t, s.warnings, got.Warnings)
	require.Equal(t, s.audit, got.AuditAnnotations)
	want, err :=
		os.ReadFile(filepath.Join(samples, policy, "testdata", "mutated", s.request+".json"))
	if err != nil || s.refused != "" {
		require.Nil(t, got.MutatedObject)
		return
	}
	require.JSONEq(t, string(want), string(got.MutatedObject))
	require.Contains(t, string(got.MutatedObject), "9007199254740993", "numbers keep their digits")
}

func TestSamples(t *testing.T) {
	for _, test := range []struct {
		policy, settings string
		mode             abi.ExecutionMode
		samples          []sample
	}{
		{"team-label", teams, abi.ExecutionModeOPA, teamLabel},
		{"unique-ingress-host", `{}`, abi.ExecutionModeGatekeeper, uniqueIngressHost},
	} {
		t.Run(test.policy, func(t *testing.T) {
			guest := load(t, test.policy, test.mode)
			// Evaluate the samples in sequence, and then repeatedly in parallel: an answer must not
			// depend on earlier requests.
			for n := range test.samples {
				s := &test.samples[n]
				t.Run(s.request, func(t *testing.T) {
					s.check(t, guest, test.policy, test.settings)
				})
			}
			t.Run("parallel", func(t *testing.T) {
				for n := range test.samples {
					s := &test.samples[n]
					t.Run(s.request, func(t *testing.T) {
						t.Parallel()
						for range 20 {
							s.check(t, guest, test.policy, test.settings)
						}
					})
				}
			})
		})
	}
}

// The data's key kubernetes holds the cluster, even if the settings have such a key.
func TestClusterReplacesSettings(t *testing.T) {
	guest := load(t, "team-label", abi.ExecutionModeOPA)
	env := environment()
	env.Inventory = inventory(`{"pods":{}}`)
	for _, settings := range []string{
		`{"teams":{"web":"Ann"},"kubernetes":1}`, `{"kubernetes":{},"teams":{"web":"Ann"}}`,
	} {
		got, _, err := guest.Validate(t.Context(), env,
			read(t, "team-label", "testdata", "pod-create.json"), []byte(settings))
		require.NoError(t, err)
		require.True(t, got.Accepted, got.Message)
	}
	require.True(t, json.Valid(env.Inventory.(inventory)))
}
