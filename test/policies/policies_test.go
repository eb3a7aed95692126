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

// committed are the policies that are committed as .wasm. TestMain builds goGuests and goPrograms,
// which are not waPC guests.
var (
	committed = []string{
		"allowed-registries", "always-pull", "default-tolerations", "drop-capabilities",
		"image-pattern", "label-from-namespace-as", "label-from-namespace-c",
		"label-from-namespace-rust", "no-latest-tag", "pod-privileged", "verify-images-rust",
	}
	// regoGuests use another ABI than the host in these tests. They run in the tests of that ABI.
	regoGuests = []string{"label-from-namespace-rego", "team-label", "unique-ingress-host"}
	goGuests   = []string{
		"add-defaults", "audit-logger", "deny-deletion", "label-from-namespace-go",
		"required-labels",
	}
	goPrograms = []string{"inherit-owner"}
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

// TestMetadata checks that every module contains its metadata.yml and answers protocol_version.
func TestMetadata(t *testing.T) {
	for _, name := range listed() {
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
		t.Run(name, func(t *testing.T) {
			requireMetadata(t, policyWasm(t, name), filepath.Join(name, "metadata.yml"))
		})
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

// listed are the policies.
func listed() []string { return slices.Concat(committed, goGuests) }

func TestValidate(t *testing.T) {
	for _, policy := range listed() {
		requests, _ := readCases(t, policy)
		t.Run(policy, func(t *testing.T) {
			// One instance serves all cases, because a response must not depend on earlier
			// requests.
			var calls hostCallFunc = noHostCalls
			guest := startPolicy(t, policy,
				func(binding, namespace, operation string, payload []byte) ([]byte, error) {
					return calls(binding, namespace, operation, payload)
				})
			for _, tc := range requests {
				t.Run(tc.name(), func(t *testing.T) {
					logged := 0
					calls = noHostCalls
					if tc.Session != "" {
						calls = asRecorded(lookUp(t, &logged))
						defer func() { require.Equal(t, tc.mutates(policy), logged == 1) }()
					}
					got, err := validate(t, guest, policy, tc.name(), string(tc.Settings))
					require.NoError(t, err)
					require.Equal(t, tc.Expect.Allowed, got.Accepted, got.Message)
					require.Equal(t, tc.Expect.Message, got.Message)
					require.Equal(t, tc.Expect.Code, got.Code)
					requireMutated(t, got, policy, tc)
				})
			}
		})
	}
}

// requireMutated checks that a policy returns the expected object from the directory mutated, or no
// object if there is no such file.
func requireMutated(t *testing.T, got verdict, policy string, tc policyCase) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(policy, "testdata", "mutated", tc.name()+".json"))
	if errors.Is(err, fs.ErrNotExist) || tc.Expect.Unchanged {
		require.Nil(t, got.MutatedObject)
		return
	}
	require.NoError(t, err)
	require.NotNil(t, got.MutatedObject)
	require.JSONEq(t, string(want), string(*got.MutatedObject))
	// JSONEq reads numbers as float64.
	require.Equal(t, strings.Contains(string(want), "9007199254740993"),
		strings.Contains(string(*got.MutatedObject), "9007199254740993"))
}

// TestRequestsAreUsed checks that a case uses each request in testdata.
func TestRequestsAreUsed(t *testing.T) {
	for _, policy := range listed() {
		used := map[string]bool{}
		requests, _ := readCases(t, policy)
		for _, tc := range requests {
			used[filepath.Join(policy, tc.Request)] = true
		}
		files, err := filepath.Glob(filepath.Join(policy, "testdata", "*.json"))
		require.NoError(t, err)
		for _, file := range files {
			require.True(t, used[file], file)
		}
	}
}

func TestValidateSettings(t *testing.T) {
	for _, policy := range listed() {
		_, settings := readCases(t, policy)
		t.Run(policy, func(t *testing.T) {
			guest := startPolicy(t, policy, noHostCalls)
			for _, tc := range settings {
				t.Run(string(tc.Settings), func(t *testing.T) {
					refused, err := refusal(t, guest, string(tc.Settings))
					if tc.Expect.SettingsError == "" {
						require.NoError(t, err)
						require.Empty(t, refused)
						return
					}
					if err != nil {
						refused = err.Error()
					}
					require.Contains(t, refused, tc.Expect.SettingsError)
				})
			}
		})
	}
}

// TestValidateWithRefusedSettings checks the error if a host evaluates a request with rejected
// settings.
func TestValidateWithRefusedSettings(t *testing.T) {
	for policy, tc := range map[string]struct{ request, settings, want string }{
		"pod-privileged":      {"pod-create-unprivileged", `{"skip":1}`, "unknown field `skip`"},
		"add-defaults":        {"pod-create", `{"label":{}}`, `unknown field "label"`},
		"default-tolerations": {"pod-create", `{}`, "tolerations: a list of at least one"},
		"drop-capabilities":   {"pod-create", `{}`, "missing field `drop`"},
		"required-labels": {"namespace-create-labelled", `{"labels":{"team":"("}}`,
			`label "team"`},
		"allowed-registries": {"pod-create-allowed", `{}`, "registries: a list of at least one"},
	} {
		_, err := validate(t, startPolicy(t, policy, noHostCalls), policy, tc.request, tc.settings)
		require.ErrorContains(t, err, tc.want, policy)
	}
}

// refusal returns why a policy rejects settings, or "" if it does not.
func refusal(t *testing.T, guest *host, settings string) (string, error) {
	t.Helper()
	response, err := guest.call(t.Context(), "validate_settings", []byte(settings))
	if err != nil {
		return "", err
	}
	var got struct {
		Valid   bool   `json:"valid"`
		Message string `json:"message"`
	}
	require.NoError(t, json.Unmarshal(response, &got), "%s", response)
	if !got.Valid {
		require.NotEmpty(t, got.Message)
	}
	return got.Message, nil
}

// TestLargePod sends the benchmarks' request to every policy that reads Pods.
func TestLargePod(t *testing.T) {
	for _, policy := range []string{"allowed-registries", "no-latest-tag", "pod-privileged",
		"required-labels", "add-defaults",
		"always-pull", "default-tolerations", "drop-capabilities", "image-pattern"} {
		t.Run(policy, func(t *testing.T) {
			guest := startPolicy(t, policy, noHostCalls)
			got, err := validate(t, guest, ".", "pod-create-9k", defaultSettings(t, policy))
			require.NoError(t, err)
			require.True(t, got.Accepted, got.Message)
		})
	}
}

// TestTruncatedReview checks that no policy accepts a truncated review.
func TestTruncatedReview(t *testing.T) {
	request, err := os.ReadFile(filepath.Join("testdata", "pod-create-9k.json"))
	require.NoError(t, err)
	for _, policy := range listed() {
		t.Run(policy, func(t *testing.T) {
			review := `{"settings":` + defaultSettings(t, policy) + `,"request":` +
				string(request) + `}`
			for _, length := range []int{0, 1, len(review) / 2, len(review) - 2, len(review) - 1} {
				guest := startPolicy(t, policy, noHostCalls)
				response, err := guest.call(t.Context(), "validate", []byte(review[:length]))
				require.Error(t, err, "%d bytes: %s", length, response)
			}
		})
	}
}
