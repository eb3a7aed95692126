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
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	corev1 "k8s.io/api/core/v1"

	"github.com/wasm-admission/wasm-admission/test/e2e/harness"
	"github.com/wasm-admission/wasm-admission/test/sigstore/instance"
)

// policy is a policy in a configuration, with its own requirements.
type policy struct {
	name, module string
	// All of demands are required, and one of choice.
	demands, choice []map[string]any
	// digest is the pinned digest, or "".
	digest string
}

// config is a verification config.
func config(demands, choice []map[string]any, least int) map[string]any {
	c := map[string]any{"apiVersion": "v1"}
	if demands != nil {
		c["allOf"] = demands
	}
	if choice != nil {
		c["anyOf"] = map[string]any{"minimumMatches": least, "signatures": choice}
	}
	return c
}

func (s *suite) json(v any) string {
	content, err := json.Marshal(v)
	require.NoError(s, err)
	return string(content)
}

// configuration returns the admission configuration of a server. If state is empty, the state
// directory is a new one. more are further fields of the plugin's configuration.
func (s *suite) configuration(state string, more map[string]any, policies ...policy) string {
	return s.json(map[string]any{"apiVersion": "apiserver.config.k8s.io/v1",
		"kind": "AdmissionConfiguration", "plugins": []any{
			map[string]any{
				"name":          "WasmAdmission",
				"configuration": s.plugin(state, more, policies...),
			},
		}})
}

// plugin returns the plugin's configuration.
func (s *suite) plugin(state string, more map[string]any, policies ...policy) map[string]any {
	c := map[string]any{
		"apiVersion": "wasm.admission.config.k8s.io/v1alpha1", "kind": "WasmAdmissionConfiguration",
		"sources": map[string]any{"insecure": []string{s.plain.Host, s.other.Host}},
		"verification": map[string]any{
			"required":  false,
			"trustRoot": map[string]any{"file": s.instance.Path(instance.TrustedRoot)},
		},
	}
	if state == "" {
		state = filepath.Join(s.TempDir(), "state")
	}
	c["stateDirectory"] = state
	for field, value := range more {
		c[field] = value
	}
	var list []any
	for _, p := range policies {
		one := map[string]any{
			"name": p.name, "module": p.module,
			"verification": map[string]any{"config": config(p.demands, p.choice, 1)},
			"rules": []any{
				map[string]any{
					"apiGroups":   []string{""},
					"apiVersions": []string{"v1"},
					"resources":   []string{"configmaps"},
					"operations":  []string{"CREATE"},
				},
			},
		}
		if p.demands == nil && p.choice == nil {
			delete(one, "verification")
		}
		if p.digest != "" {
			one["digest"] = p.digest
		}
		list = append(list, one)
	}
	if list != nil {
		c["policies"] = list
	}
	return c
}

// serves checks that a server starts and enforces the policies. The server stops when the test
// ends.
func (s *suite) serves(t *testing.T, options harness.Options) *harness.Server {
	t.Helper()
	options.FeatureGate = true
	server := harness.Start(t, options)
	require.Contains(t, verdict(t, server), "denied by deny.wat")
	return server
}

// refused checks that a server refuses to start, and returns the problems, one per line.
func (s *suite) refused(t *testing.T, admission string) []string {
	t.Helper()
	code, stderr := harness.StartExpectingFailure(t,
		harness.Options{FeatureGate: true, AdmissionConfig: admission})
	require.Equal(t, 1, code)
	var lines []string
	for line := range strings.Lines(stderr) {
		if problem, found := strings.CutPrefix(line, "kube-apiserver: WasmAdmission: "); found {
			lines = append(lines, strings.TrimSuffix(problem, "\n"))
		}
	}
	require.NotEmpty(t, lines, stderr)
	return lines
}

// verdict returns a server's denial of a ConfigMap, or "" if the ConfigMap is admitted.
func verdict(t *testing.T, server *harness.Server) string {
	t.Helper()
	_, err := server.Clientset().CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(t.Context(),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "any"}},
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err.Error()
	}
	return ""
}

// refusal is a test case: a module that must not be served.
type refusal struct {
	what   string
	module string
	// demands and choice are the module's requirements, instead of the usual ones.
	demands, choice []map[string]any
	// want is part of the error.
	want string
}

// table holds the test cases.
type table struct {
	*suite
	cases []refusal
	// started counts the cases that were tested with a start of a server.
	started int
}

func (x *table) refuse(what, want string, m signed) {
	x.cases = append(x.cases, refusal{what: what, module: x.deploy(m), want: want})
}

// unless adds a module that is refused because the requirements differ.
func (x *table) unless(what, want, module string, demands ...map[string]any) {
	x.cases = append(x.cases, refusal{what: what, module: module, want: want, demands: demands})
}

// name returns the name of a case's policy.
func name(n int) string { return fmt.Sprintf("case-%03d", n) }

// lineOf returns the lines about a policy.
func lineOf(lines []string, policy string) (found []string) {
	for _, line := range lines {
		if strings.Contains(line, "["+policy+"]") {
			found = append(found, line)
		}
	}
	return found
}
