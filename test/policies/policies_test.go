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

package policies_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"sigs.k8s.io/yaml"
)

// committed are the policies kept as .wasm; goGuests are built by TestMain.
var (
	committed = []string{"allowed-registries", "always-pull", "default-tolerations", "drop-capabilities", "no-latest-tag", "pod-privileged"}
	// regoGuests speak another ABI than the host of these tests: they are run where that is
	// implemented.
	regoGuests = []string{"team-label", "unique-ingress-host"}
	goGuests   = []string{"add-defaults", "audit-logger", "deny-deletion", "required-labels"}
)

// verdict is Kubewarden's ValidationResponse.
type verdict struct {
	Accepted         bool              `json:"accepted"`
	Message          string            `json:"message"`
	Code             int               `json:"code"`
	Warnings         []string          `json:"warnings"`
	AuditAnnotations map[string]string `json:"audit_annotations"`
	MutatedObject    *json.RawMessage  `json:"mutated_object"`
}

// policyWasm returns the module of a policy.
func policyWasm(t *testing.T, name string) []byte {
	t.Helper()
	file := filepath.Join(name, "policy.wasm")
	if slices.Contains(goGuests, name) {
		file = filepath.Join(builtDir, name+".wasm")
	}
	wasm, err := os.ReadFile(file)
	require.NoError(t, err)
	return wasm
}

func startPolicy(t *testing.T, name string, hostCall hostCallFunc) *host {
	t.Helper()
	guest, err := startGuest(t.Context(), t, policyWasm(t, name), hostCall)
	require.NoError(t, err)
	return guest
}

func noHostCalls(string, string, string, []byte) ([]byte, error) { return nil, errNoHostCalls }

// validate runs a request from testdata through a policy.
func validate(t *testing.T, guest *host, policy, request, settings string) (verdict, error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(policy, "testdata", request+".json"))
	require.NoError(t, err)
	payload := append([]byte(`{"request":`), text...)
	payload = append(payload, `,"settings":`+settings+`}`...)
	require.True(t, json.Valid(payload))

	response, err := guest.call(t.Context(), "validate", payload)
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	require.NoError(t, json.Unmarshal(response, &v), "%s", response)
	return v, nil
}

// TestMetadata shows that every module carries the metadata beside its source
// and answers protocol_version.
func TestMetadata(t *testing.T) {
	for _, name := range slices.Concat(committed, goGuests) {
		t.Run(name, func(t *testing.T) {
			wasm := policyWasm(t, name)
			requireMetadata(t, wasm, filepath.Join(name, "metadata.yml"))

			guest, err := startGuest(t.Context(), t, wasm, noHostCalls)
			require.NoError(t, err)
			version, err := guest.call(t.Context(), "protocol_version", nil)
			require.NoError(t, err)
			require.JSONEq(t, `"v1"`, string(version))

			_, err = guest.call(t.Context(), "no_such_operation", nil)
			require.ErrorContains(t, err, "guest error: ")
		})
	}
}

func TestMetadataOfRego(t *testing.T) {
	for _, name := range regoGuests {
		t.Run(name, func(t *testing.T) { requireMetadata(t, policyWasm(t, name), filepath.Join(name, "metadata.yml")) })
	}
}

func requireMetadata(t *testing.T, wasm []byte, file string) {
	t.Helper()
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	want, err := yaml.YAMLToJSONStrict(source)
	require.NoError(t, err)

	runtime := wazero.NewRuntimeWithConfig(t.Context(),
		wazero.NewRuntimeConfigInterpreter().WithCustomSections(true))
	defer func() { require.NoError(t, runtime.Close(t.Context())) }()
	module, err := runtime.CompileModule(t.Context(), wasm)
	require.NoError(t, err)
	var found []string
	for _, section := range module.CustomSections() {
		if section.Name() == "io.kubewarden.metadata" {
			found = append(found, string(section.Data()))
		}
	}
	require.Len(t, found, 1)
	require.JSONEq(t, string(want), found[0])
}

func TestValidate(t *testing.T) {
	for policy, cases := range validateCases {
		t.Run(policy, func(t *testing.T) {
			// One instance serves all cases: an answer must not depend on
			// what was asked before.
			guest := startPolicy(t, policy, noHostCalls)
			for _, tc := range cases {
				t.Run(tc.request, func(t *testing.T) {
					settings := tc.settings
					if settings == "" {
						settings = defaultSettings[policy]
					}
					got, err := validate(t, guest, policy, tc.request, settings)
					if tc.wantErr != "" {
						require.ErrorContains(t, err, tc.wantErr)
						return
					}
					require.NoError(t, err)
					require.Equal(t, tc.refused == "", got.Accepted, got.Message)
					require.Equal(t, tc.refused, got.Message)
					require.Equal(t, tc.code, got.Code)
					requireMutated(t, got, policy, tc)
				})
			}
		})
	}
}

// requireMutated shows that a policy wants the object that is kept beside the request,
// in the directory mutated, or none if that is not there.
func requireMutated(t *testing.T, got verdict, policy string, tc validateCase) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(policy, "testdata", "mutated", tc.request+".json"))
	if errors.Is(err, fs.ErrNotExist) || tc.unchanged {
		require.Nil(t, got.MutatedObject)
		return
	}
	require.NoError(t, err)
	require.NotNil(t, got.MutatedObject)
	require.JSONEq(t, string(want), string(*got.MutatedObject))
	// JSONEq reads numbers as float64.
	require.Equal(t, strings.Contains(string(want), "9007199254740993"), strings.Contains(string(*got.MutatedObject), "9007199254740993"))
}

// TestRequestsAreUsed shows that no request of testdata lies idle.
func TestRequestsAreUsed(t *testing.T) {
	for policy, cases := range validateCases {
		used := map[string]bool{}
		for _, tc := range cases {
			used[filepath.Join(policy, "testdata", tc.request+".json")] = true
		}
		files, err := filepath.Glob(filepath.Join(policy, "testdata", "*.json"))
		require.NoError(t, err)
		for _, file := range files {
			require.True(t, used[file], file)
		}
	}
}

func TestValidateSettings(t *testing.T) {
	for policy, cases := range settingsCases {
		t.Run(policy, func(t *testing.T) {
			guest := startPolicy(t, policy, noHostCalls)
			for _, tc := range cases {
				t.Run(tc.settings, func(t *testing.T) {
					response, err := guest.call(t.Context(), "validate_settings", []byte(tc.settings))
					if tc.wantErr != "" {
						require.ErrorContains(t, err, tc.wantErr)
						return
					}
					require.NoError(t, err)
					var got struct {
						Valid   bool   `json:"valid"`
						Message string `json:"message"`
					}
					require.NoError(t, json.Unmarshal(response, &got), "%s", response)
					require.Equal(t, tc.refused == "", got.Valid, got.Message)
					require.Contains(t, got.Message, tc.refused)
				})
			}
		})
	}
}

// TestLargePod runs the request of the benchmarks through every policy that
// looks at Pods.
func TestLargePod(t *testing.T) {
	for _, policy := range []string{"allowed-registries", "no-latest-tag", "pod-privileged", "required-labels", "add-defaults",
		"always-pull", "default-tolerations", "drop-capabilities"} {
		t.Run(policy, func(t *testing.T) {
			guest := startPolicy(t, policy, noHostCalls)
			got, err := validate(t, guest, ".", "pod-create-9k", defaultSettings[policy])
			require.NoError(t, err)
			require.True(t, got.Accepted, got.Message)
		})
	}
}

// TestTruncatedReview shows that no policy takes a review that breaks off for
// one that has nothing to object to.
func TestTruncatedReview(t *testing.T) {
	request, err := os.ReadFile(filepath.Join("testdata", "pod-create-9k.json"))
	require.NoError(t, err)
	for _, policy := range slices.Concat(committed, goGuests) {
		t.Run(policy, func(t *testing.T) {
			review := `{"settings":` + defaultSettings[policy] + `,"request":` + string(request) + `}`
			for _, length := range []int{0, 1, len(review) / 2, len(review) - 2, len(review) - 1} {
				guest := startPolicy(t, policy, noHostCalls)
				response, err := guest.call(t.Context(), "validate", []byte(review[:length]))
				require.Error(t, err, "%d bytes: %s", length, response)
			}
		})
	}
}
