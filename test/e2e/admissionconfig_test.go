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
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
)

func TestMisspeltPluginEndsTheStart(t *testing.T) {
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
	require.Contains(t, server.Logs(), `no admission plugin is called "PluginOfAnotherVersion": its configuration is IGNORED`)
}
