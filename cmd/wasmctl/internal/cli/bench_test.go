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

package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/cli"
)

// short makes a measurement as short as possible.
var short = []string{
	"--warm-up-time", "1ms", "--measurement-time", "1ms", "--num-samples", "2", "--num-resamples",
	"2",
}

func bench(t *testing.T, arguments ...string) result {
	t.Helper()
	return call(t, append(append([]string{"bench"}, short...), arguments...)...)
}

func TestBench(t *testing.T) {
	request, err := filepath.Abs(policies + "pod-privileged/testdata/pod-create-privileged.json")
	require.NoError(t, err)
	policy, err := filepath.Abs(policies + "pod-privileged/policy.wasm")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	got := bench(t, "-r", request, policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	for _, line := range []string{
		"validate_settings warming up for 1.0000 ms\n", "validate warming up for 1.0000 ms\n",
	} {
		require.Contains(t, got.out, line)
	}
	require.Regexp(t,
		`(?m)^validate                time:   \[[0-9.]+ .?s [0-9.]+ .?s [0-9.]+ .?s\]$`, got.out)
	require.Regexp(t, `(?m)^mean   \[.*\] std. dev.      \[.*\]$`, got.out)
	require.Regexp(t, `(?m)^median \[.*\] med. abs. dev. \[.*\]$`, got.out)
	_, err = os.Stat("target")
	require.ErrorIs(t, err, os.ErrNotExist)

	got = bench(t, "--dump-results-to-disk", "-r", request, policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.NotContains(t, got.out, "change:")
	require.FileExists(t, "target/simple-bench/validate/current-sample")
	got = bench(t, "--dump-results-to-disk", "-r", request, policy)
	require.Regexp(t, `change: \[[-+].*%\] \(p = .*\)`, got.out)
	require.FileExists(t, "target/simple-bench/validate_settings/old-sample")
	require.NoError(t,
		os.WriteFile("target/simple-bench/validate/current-sample", []byte("none"), 0o600))
	got = bench(t, "--dump-results-to-disk", "-r", request, policy)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.err,
		"Warning: Failed to read last sample: target/simple-bench/validate/current-sample holds no measurements")
}

// Each evaluation replays the session from its beginning, so none of them lacks an answer.
func TestBenchReplays(t *testing.T) {
	policy := policies + "label-from-namespace-rust/"
	got := bench(t, "--allow-context-aware", "--replay-host-capabilities-interactions",
		policy+"testdata/sessions/shop.yaml", "--settings-json", `{"label": "owner"}`, "-r",
		policy+"testdata/pod-create.json", policy+"policy.wasm")
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.NotContains(t, got.err, "level=")
	require.NotContains(t, got.err, "exchanges")
	require.NotContains(t, got.err, "fails")
	require.Contains(t, got.out, "validate warming up for")
}

func TestBenchOfManifests(t *testing.T) {
	root, err := filepath.Abs("../../../..")
	require.NoError(t, err)
	manifests := file(t, "policies.yaml", `apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicyGroup
metadata: {name: group}
spec:
  expression: one() && two()
  message: neither
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
  policies:
    one: {module: "file://`+root+`/test/policies/pod-privileged/policy.wasm"}
    two: {module: "file://`+root+`/test/policies/no-latest-tag/policy.wasm"}
---
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {name: privileged}
spec:
  module: file://`+root+`/test/policies/pod-privileged/policy.wasm
  mutating: false
  rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]
`)
	got := bench(t, "-r", policies+"pod-privileged/testdata/pod-create-privileged.json", manifests)
	require.Equal(t, cli.ExitOK, got.code, got.err)
	require.Contains(t, got.out, "group/validate warming up for")
	require.Contains(t, got.out, "privileged/validate_settings warming up for")
}

// A user who measures a failing policy should learn that it fails.
func TestBenchOfAFailure(t *testing.T) {
	got := bench(t, "--raw", "-r", file(t, "request.json", "{}"), guests+"trap.wasm")
	require.Contains(t, got.err, "Warning: the measured evaluation fails: ", got.out)
}

func TestBenchRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		err       string
	}{
		"no request": {[]string{"p"}, "--request-path is required"},
		"no time": {[]string{"--warm-up-time", "0", "-r", "x", "p"},
			"write seconds, such as 5"},
		"no measurement": {[]string{"--measurement-time", "-1s", "-r", "x", "p"},
			"write seconds, such as 5"},
		"too long": {[]string{"--measurement-time", "86401", "-r", "x", "p"},
			"of at most 24h0m0s"},
		"one sample": {[]string{"--num-samples", "1", "-r", "x", "p"},
			"--num-samples: 1 is not between 2 and 10000"},
		"too many samples": {[]string{"--num-samples", "10001", "-r", "x", "p"},
			"--num-samples: 10001 is not between"},
		"no resamples": {[]string{"--num-resamples", "0", "-r", "x", "p"},
			"--num-resamples: 0 is not between 1 and 1000000"},
		"too many resamples": {[]string{"--num-resamples", "1000001", "-r", "x", "p"},
			"--num-resamples: 1000001 is not between"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, append([]string{"bench"}, test.arguments...)...)
			require.Equal(t, cli.ExitUsage, got.code, got.err)
			require.Contains(t, got.err, test.err)
		})
	}
}
