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

package evaluation_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/evaluation"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/host"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/review"
	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/sources"
	"github.com/wasm-admission/wasm-admission/internal/wasm"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
)

const request = `{"uid":"u","kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"operation":"CREATE","userInfo":{"username":"alice"},` +
	`"name":"web","namespace":"shop","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web"},"spec":{"containers":[{"name":"c","image":"c:1"}]}}}`

func newEvaluator(t *testing.T, options evaluation.Options) *evaluation.Evaluator {
	t.Helper()
	options.Fetcher = sources.NewFetcher(sources.Options{MaxBytes: 128 << 20})
	e, err := evaluation.New(options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func uri(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs("../../../../" + path)
	require.NoError(t, err)
	return "file://" + absolute
}

func load(t *testing.T, e *evaluation.Evaluator, m evaluation.Module) *evaluation.Policy {
	t.Helper()
	m.Answers = &host.Answers{}
	policy, err := e.Load(t.Context(), m)
	require.NoError(t, err)
	t.Cleanup(policy.Close)
	return policy
}

// safeBuffer is a buffer for concurrent evaluations.
type safeBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// A policy's log goes to the logger of the evaluation.
func TestPolicyLog(t *testing.T) {
	policy := load(t, newEvaluator(t, evaluation.Options{}),
		evaluation.Module{URI: uri(t, "cmd/wasmctl/internal/evaluation/testdata/talks.wasm")})
	parsed, err := policy.ParseRequest([]byte(request), false, review.Object{})
	require.NoError(t, err)
	var log safeBuffer
	ctx := klog.NewContext(t.Context(), logr.FromSlogHandler(slog.NewTextHandler(&log, nil)))
	var evaluations sync.WaitGroup
	for range 4 {
		evaluations.Go(func() {
			if !policy.Review(ctx, parsed).Allowed {
				t.Error("rejected")
			}
		})
	}
	evaluations.Wait()
	require.Contains(t, log.String(), "a word of the policy")
}

// Policies have the same timeout as on a server, unless another one is set.
func TestTimeout(t *testing.T) {
	policy := load(t, newEvaluator(t, evaluation.Options{Timeout: 50 * time.Millisecond}),
		evaluation.Module{URI: uri(t, "test/wat/spin.wasm")})
	parsed, err := policy.ParseRequest([]byte(request), false, review.Object{})
	require.NoError(t, err)
	response := policy.Review(t.Context(), parsed)
	require.False(t, response.Allowed)
	require.Equal(t, "Policy execution interrupted because it exceeded the allowed execution time",
		response.Status.Message)
	require.EqualValues(t, 500, response.Status.Code)

	config, err := assembly.Decode(nil)
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, config.Limits.EvaluationTimeout.Duration)
}

// This test covers a module without metadata, and one for raw requests.
func TestMetadata(t *testing.T) {
	binary, err := os.ReadFile("../../../../test/wat/answer.wasm")
	require.NoError(t, err)
	module, err := wasm.Decode(binary)
	require.NoError(t, err)
	write := func(metadata string, exports ...wasm.Export) string {
		m := *module
		m.Custom, m.Exports = nil, append(append([]wasm.Export{}, module.Exports...), exports...)
		if metadata != "" {
			m.Custom = []wasm.CustomSection{{Name: abi.MetadataSection, Payload: []byte(metadata)}}
		}
		path := filepath.Join(t.TempDir(), "policy.wasm")
		require.NoError(t, os.WriteFile(path, m.Encode(), 0o600))
		return "file://" + path
	}
	e := newEvaluator(t, evaluation.Options{})
	settings := []byte(`{"accepted":true}`)
	require.False(t, load(t, e, evaluation.Module{URI: write(""), Settings: settings}).Raw)

	raw := load(t, e, evaluation.Module{
		URI:      write(`{"protocolVersion":"v1","rules":[],"mutating":false,"policyType":"raw"}`),
		Settings: settings,
	})
	require.True(t, raw.Raw)
	parsed, err := raw.ParseRequest([]byte(`{"user":"tonio"}`), false, review.Object{})
	require.NoError(t, err)
	require.True(t, raw.Review(t.Context(), parsed).Allowed)

	inRego := write("", wasm.Export{Name: "opa_eval", Kind: wasm.ExternFunction})
	_, err = e.Load(t.Context(), evaluation.Module{URI: inRego, Answers: &host.Answers{}})
	require.ErrorContains(t, err,
		"The policy has been created with Rego, please specify which Opa runtime has to be used")
	_, err = e.Load(t.Context(),
		evaluation.Module{URI: write(`{"rules":[],"mutating":false}`), Answers: &host.Answers{}})
	require.ErrorContains(t, err, "protocolVersion: required for execution mode kubewarden-wapc")
}

func TestParseExecutionMode(t *testing.T) {
	for name, want := range map[string]abi.ExecutionMode{
		"": "", "kubewarden": abi.ExecutionModeWaPC, "kubewarden-wapc": abi.ExecutionModeWaPC,
		"wasi": abi.ExecutionModeWASI,
		"opa":  abi.ExecutionModeOPA, "gatekeeper": abi.ExecutionModeGatekeeper,
	} {
		mode, err := evaluation.ParseExecutionMode(name)
		require.NoError(t, err)
		require.Equal(t, want, mode)
	}
	_, err := evaluation.ParseExecutionMode("wapc")
	require.ErrorContains(t, err, `Unknown policy execution mode "wapc"`)
}

func TestManifestsFail(t *testing.T) {
	e := newEvaluator(t, evaluation.Options{})
	manifest := func(module, settings string) kubewarden.File {
		return kubewarden.File{Path: "p.yaml", Content: []byte(`
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: a}
spec:
  module: ` + module + `
  settings: ` + settings + `
  mutating: false
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
`)}
	}
	_, err := e.LoadManifests(t.Context(), manifest(uri(t, "test/wat/settings-refused.wasm"), "{}"),
		&host.Answers{})
	require.ErrorAs(t, err, new(*evaluation.SettingsError))
	require.ErrorContains(t, err,
		"Provided settings are not valid: p.yaml[1] ClusterAdmissionPolicy \"a\": spec.settings")
	_, err = e.LoadManifests(t.Context(), manifest("file:///none.wasm", "{}"), &host.Answers{})
	require.ErrorContains(t, err, `p.yaml[1] ClusterAdmissionPolicy "a": spec.module`)
	_, err = e.LoadManifests(t.Context(),
		kubewarden.File{Path: "p.yaml", Content: []byte("# nothing\n")}, &host.Answers{})
	require.ErrorContains(t, err, "p.yaml: holds no policy")
}

// The policies of a file can be closed in any order.
func TestPoliciesOfManifestsAreClosedOneByOne(t *testing.T) {
	e := newEvaluator(t, evaluation.Options{})
	var content string
	for _, name := range []string{"a", "b"} {
		content += `
---
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: ` + name + `}
spec:
  module: ` + uri(t, "test/wat/accept.wasm") + `
  mutating: false
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
`
	}
	policies, err := e.LoadManifests(t.Context(),
		kubewarden.File{Path: "p.yaml", Content: []byte(content)}, &host.Answers{})
	require.NoError(t, err)
	require.Len(t, policies, 2)
	policies[0].Close()
	policies[0].Close() // a second call does nothing
	parsed, err := policies[1].ParseRequest([]byte(request), false, review.Object{})
	require.NoError(t, err)
	require.True(t, policies[1].Review(t.Context(), parsed).Allowed)
	policies[1].Close()
}
