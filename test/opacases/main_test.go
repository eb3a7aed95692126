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

package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/test/cases"
	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/pkg/abi/rego/topdown"
)

// directory is where the cases are.
func directory(t *testing.T) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/open-policy-agent/opa").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(output)), "v1", "test", "cases", "testdata")
}

// All cases take minutes: see make opa-cases.
func TestSampleOfTheCases(t *testing.T) {
	r, err := run(directory(t), "", 16)
	require.NoError(t, err)
	require.Empty(t, r.failures)
	require.Greater(t, r.passed, 200)
	require.Less(t, r.skipped, r.passed/4)
}

// A reason must not outlast what it is the reason of.
func TestExceptionsAreNeeded(t *testing.T) {
	skip, err := readExceptions()
	require.NoError(t, err)
	for name, reason := range skip.Functions {
		require.NotEmpty(t, reason)
		require.Nil(t, topdown.Builtins{}.Builtin(name), "function %s is lent", name)
	}
	unknown := map[string]bool{}
	for note, reason := range skip.Notes {
		require.NotEmpty(t, reason)
		unknown[note] = true
	}
	for version := range versions {
		set, err := cases.Load(filepath.Join(directory(t), version))
		require.NoError(t, err)
		for _, c := range set.Cases {
			delete(unknown, c.Note)
		}
	}
	require.Empty(t, unknown, "there are no such cases")
}
