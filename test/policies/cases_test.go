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
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// caseFile is a policy's cases.yaml, which `wasmctl test` also runs.
type caseFile struct {
	Policy   string          `json:"policy"`
	Settings json.RawMessage `json:"settings"`
	Cases    []policyCase    `json:"cases"`
	// AllowContextAware is for hosts that restrict access to the cluster.
	AllowContextAware bool `json:"allowContextAware"`
}

// policyCase is a request or only settings, with the expected result.
type policyCase struct {
	Request  string          `json:"request"`
	Settings json.RawMessage `json:"settings"`
	// Session answers host calls in wasmctl. Here, namespaces does so.
	Session string `json:"session"`
	Expect  struct {
		Allowed       bool   `json:"allowed"`
		Message       string `json:"message"`
		Code          int    `json:"code"`
		Unchanged     bool   `json:"unchanged"`
		SettingsError string `json:"settingsError"`
		// Only one policy returns these.
		Warnings         []string          `json:"warnings"`
		AuditAnnotations map[string]string `json:"auditAnnotations"`
	} `json:"expect"`
}

// name returns the name of the case's request, or "" if there is none.
func (c *policyCase) name() string {
	return strings.TrimSuffix(filepath.Base(c.Request), ".json")
}

// readCases returns the cases of a policy: those with a request and settings, and those with only
// settings.
func readCases(t *testing.T, policy string) (requests, settings []policyCase) {
	t.Helper()
	file := readCaseFile(t, policy)
	for _, c := range file.Cases {
		if c.Settings == nil {
			c.Settings = file.Settings
		}
		if c.Request == "" {
			settings = append(settings, c)
		} else {
			requests = append(requests, c)
		}
	}
	return requests, settings
}

func readCaseFile(t *testing.T, policy string) *caseFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(policy, "cases.yaml"))
	require.NoError(t, err)
	var file caseFile
	require.NoError(t, yaml.UnmarshalStrict(text, &file), policy)
	require.NotEmpty(t, file.Cases, policy)
	return &file
}

// defaultSettings returns the settings for cases without settings.
func defaultSettings(t *testing.T, policy string) string {
	t.Helper()
	return string(readCaseFile(t, policy).Settings)
}

// mutates reports whether the policy must change the case's object.
func (c *policyCase) mutates(policy string) bool {
	_, err := os.Stat(filepath.Join(policy, "testdata", "mutated", c.name()+".json"))
	return err == nil && !c.Expect.Unchanged
}

// asRecorded returns errors with the text of a host that replays a session.
func asRecorded(call hostCallFunc) hostCallFunc {
	return func(binding, namespace, operation string, payload []byte) ([]byte, error) {
		answer, err := call(binding, namespace, operation, payload)
		if err != nil {
			err = fmt.Errorf("Callback evaluation failure: %w", err)
		}
		return answer, err
	}
}
