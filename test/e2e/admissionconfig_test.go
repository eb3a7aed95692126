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

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

func TestMisspelledPluginFailsTheStart(t *testing.T) {
	code, stderr := harness.StartExpectingFailure(t, harness.Options{
		FeatureGate: true,
		AdmissionConfig: `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmision
  configuration: {}
- name: wasm
  configuration: {}
`,
	})
	require.Equal(t, 1, code)
	var problems []string
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "kube-apiserver: WasmAdmission: ") {
			problems = append(problems, line)
		}
	}
	require.Len(t, problems, 2, stderr)
	require.Contains(t, problems[0], `admission.yaml: no admission plugin is called "WasmAdmision"`)
	require.Contains(t, problems[1], `no admission plugin is called "wasm"`)
	require.Contains(t, problems[1], `did you mean "WasmAdmission"?`)
}

// A server must not start if a flag disables the plugin that the configuration configures, because
// nothing would be enforced.
func TestDisabledPluginFailsTheStart(t *testing.T) {
	code, stderr := harness.StartExpectingFailure(t, harness.Options{
		FeatureGate: true,
		Args:        []string{"--disable-admission-plugins=ServiceAccount,WasmAdmission"},
		AdmissionConfig: `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: WasmAdmission
  configuration:
    apiVersion: wasm.admission.config.k8s.io/v1alpha1
    kind: WasmAdmissionConfiguration
`,
	})
	require.Equal(t, 1, code)
	require.Contains(t, stderr,
		"configures the plugin, but --disable-admission-plugins=WasmAdmission switches it off")
}

// The server warns about a rule that matches nothing, once it knows all resources that it serves.
func TestRuleThatMatchesNothingIsWarnedAbout(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.Chmod(directory, 0o700))
	require.NoError(t, copyModules(directory))
	server := harness.Start(t,
		harness.Options{FeatureGate: true, AdmissionConfig: admissionConfiguration(directory, `
policies:
- name: misspelt
  module: MODULES/accept.wasm
  rules:
  - {apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}
  - {apiGroups: [""], apiVersions: [v1], resources: [pod], operations: [CREATE]}
`)})
	require.Eventually(t, func() bool {
		metrics, err := server.Metrics(t.Context())
		return err == nil &&
			strings.Contains(metrics, "\napiserver_wasm_admission_unmatched_rules 1\n")
	}, time.Minute, 100*time.Millisecond)
	require.Contains(t, server.Logs(),
		"rules[1] matches nothing that is served and enforces nothing")
	require.NotContains(t, server.Logs(), "rules[0] matches nothing")
}

func TestUnknownPluginIsWarnedAbout(t *testing.T) {
	server := harness.Start(t, harness.Options{
		AdmissionConfig: `
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PluginOfAnotherVersion
  configuration: {}
`,
	})
	require.Contains(t, server.Logs(),
		`no admission plugin is called "PluginOfAnotherVersion": its configuration is IGNORED`)
}
