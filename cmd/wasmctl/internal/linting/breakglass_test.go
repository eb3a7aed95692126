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

package linting_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/linting"
)

// order returns the content of a break-glass file.
func order(ahead time.Duration, policies ...string) string {
	return fmt.Sprintf(
		"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: BreakGlass\nreason: test\nuntil: %s\npolicies: ['%s']\n",
		time.Now().Add(ahead).UTC().Format(time.RFC3339), strings.Join(policies, "', '"))
}

const breakGlassRemedy = ": write names as denials and metrics show them, such as clusterwide-NAME for a ClusterAdmissionPolicy"

// A server starts with any break-glass file, but lint reports the mistakes in it.
func TestBreakGlassFileOfAConfiguration(t *testing.T) {
	w := newWorkspace(t)
	many := make([]string, 22)
	for n := range many {
		many[n] = fmt.Sprint("p", n)
	}
	path := w.path("break-glass.yaml")
	for name, test := range map[string]struct {
		order    string
		warnings []string
	}{
		"none":  {"", nil},
		"good":  {order(time.Hour, "own"), nil},
		"every": {order(time.Hour, "*"), nil},
		"over":  {order(-time.Hour, "own"), []string{"would not be obeyed: until: "}},
		"problems": {order(48*time.Hour, "own") + "reson: a\n",
			[]string{`would not be obeyed: unknown field "reson"`, "would not be obeyed: until: "}},
		"no name": {order(time.Hour, "gone"), []string{
			`policies[0]: no policy is called "gone"` + breakGlassRemedy,
			"would not be obeyed: policies: none of",
		}},
		"one name": {order(time.Hour, "own", "gone"),
			[]string{`policies[1]: no policy is called "gone"` + breakGlassRemedy}},
		"too large": {order(time.Hour, "own") + "#" + strings.Repeat("a", 64<<10),
			[]string{"would not be obeyed: " + path + " has "}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.order != "" {
				w.write("break-glass.yaml", test.order)
			}
			report :=
				w.lint(w.write("config.yaml", head+"breakGlassFile: "+path+
					"\npolicies: [{name: own, module: "+w.module("accept")+"}]\n"))
			require.Empty(t, report.Problems)
			require.Len(t, report.Warnings, len(test.warnings), report.Warnings)
			for n, part := range test.warnings {
				require.Contains(t, report.Warnings[n], "breakGlassFile: "+path+": "+part)
			}
			require.NoError(t, os.RemoveAll(path))
		})
	}
	w.write("break-glass.yaml", order(time.Hour, many...))
	report :=
		w.lint(w.write("config.yaml", head+"breakGlassFile: "+path+
			"\npolicies: [{name: own, module: "+w.module("accept")+"}]\n"))
	require.Len(t, report.Warnings, 22)
	require.Contains(t, report.Warnings[20], "2 more names are those of no policy")

	// If the policies cannot be loaded, their names are unknown.
	report =
		w.lint(w.write("config.yaml", head+"breakGlassFile: "+path+
			"\npolicies: [{name: own, module: "+w.module("none")+"}]\n"))
	require.Len(t, report.Problems, 1)
	require.Empty(t, report.Warnings)
}

func TestBreakGlassFileAlone(t *testing.T) {
	w := newWorkspace(t)
	report := w.lint(w.write("break-glass.yaml", order(time.Hour, "any")))
	require.True(t, report.BreakGlass)
	require.Empty(t, report.Problems)
	require.Empty(t, report.Unseen)

	report = w.lint(w.write("break-glass.yaml", order(-time.Hour, "any")+"reson: a\n"))
	require.Len(t, report.Problems, 2)
	require.Contains(t, report.Problems[0], w.path("break-glass.yaml")+`: unknown field "reson"`)
	require.Contains(t, report.Problems[1], w.path("break-glass.yaml")+": until: ")

	require.NoError(t, os.Chmod(w.path("break-glass.yaml"), 0o666))
	report = w.lint(w.path("break-glass.yaml"))
	require.Len(t, report.Problems, 1)
	require.Contains(t, report.Problems[0], "has mode 0666")

	report = linting.Lint(t.Context(),
		linting.Options{Path: w.path("break-glass.yaml"), PolicyDirectory: w.path("policies.d")})
	require.Len(t, report.Problems, 1)
	require.Contains(t, report.Problems[0], "omit the policy directory")
}
