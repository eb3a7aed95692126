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

package validation

import (
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const lockOut = ": matches every resource with failurePolicy Fail, so that a failing policy locks everyone out: " +
	"add exemptions for administrators, nodes and the apiserver, or set failurePolicy to Ignore"

func TestWarnings(t *testing.T) {
	const everything = `{operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"]}`
	const pods = `{operations: ["*"], apiGroups: [""], apiVersions: [v1], resources: [pods]}`
	tests := map[string]struct {
		config string
		want   []string
	}{
		"no policies":         {head, nil},
		"rules of the module": {policy("failurePolicy: Fail"), nil},
		"some resources":      {policy("rules: [" + pods + "]"), nil},
		"everything": {policy("rules: [" + pods + ", " + everything + "]"),
			[]string{"policies[a].rules[1]" + lockOut}},
		"everything, ignoring": {policy("failurePolicy: Ignore\nrules: [" + everything + "]"), nil},
		"long evaluation": {
			policy("timeoutEvalSeconds: 11"),
			[]string{
				"policies[a].timeoutEvalSeconds: is longer than limits.requestTimeout (10s), which ends the evaluation first: raise one or lower the other",
			},
		},
		"long evaluations": {
			policy("timeoutEvalSeconds: 10") + "limits: {evaluationTimeout: 11s}",
			[]string{
				"limits.evaluationTimeout: is longer than limits.requestTimeout (10s), which ends evaluations first: raise one or lower the other",
			},
		},
		"reinvocation": {
			policy("reinvocationPolicy: Never"),
			[]string{
				"policies[a].reinvocationPolicy: has no effect on a policy that does not mutate: remove the field",
			},
		},
		"reinvocation, mutating": {policy("mutating: true\nreinvocationPolicy: Never"), nil},
		"member that nobody calls": {
			group("g", "policies",
				"{one: {module: file:///a.wasm}, two: {module: file:///b.wasm, timeoutEvalSeconds: 30}}"),
			[]string{
				"policyGroups[g].policies[two]: is not called by the expression and decides nothing: call it or remove it",
				"policyGroups[g].policies[two].timeoutEvalSeconds: is longer than limits.requestTimeout (10s), which ends the evaluation first: raise one or lower the other",
			},
		},
		"group of everything": {group("g", "rules", "["+everything+"]"),
			[]string{"policyGroups[g].rules[0]" + lockOut}},
		"group field without effect": {
			group("g", "backgroundAudit", "true"),
			[]string{"policyGroups[g].backgroundAudit: has no effect in process: remove the field"},
		},
		"no effect": {
			policy(
				"policyServer: ''\nsideEffects: None\ntimeoutSeconds: 10\nbackgroundAudit: false\nallowInsideAdmissionControllerNamespace: false"),
			[]string{
				"policies[a].policyServer: has no effect in process: remove the field",
				"policies[a].sideEffects: has no effect in process: remove the field",
				"policies[a].timeoutSeconds: has no effect in process: remove the field",
				"policies[a].backgroundAudit: has no effect in process: remove the field",
				"policies[a].allowInsideAdmissionControllerNamespace: has no effect in process: remove the field",
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := parse(t, test.config)
			require.Empty(t, ValidateConfiguration(config))
			require.Equal(t, test.want, Warnings(config))
		})
	}
}

func TestWarningsForRules(t *testing.T) {
	rule := func(group, resource string) []admissionregistrationv1.RuleWithOperations {
		return []admissionregistrationv1.RuleWithOperations{{Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, Resources: []string{"pods/exec", resource},
		}}}
	}
	at := field.NewPath("metadata", "rules")
	warning := []string{"metadata.rules[0]" + lockOut}
	require.Equal(t, warning, WarningsForRules(rule("*", "*"), admissionregistrationv1.Fail, at))
	require.Equal(t, warning, WarningsForRules(rule("*", "*/*"), admissionregistrationv1.Fail, at))
	require.Empty(t, WarningsForRules(rule("*", "*"), admissionregistrationv1.Ignore, at))
	require.Empty(t, WarningsForRules(rule("*", "pods"), admissionregistrationv1.Fail, at))
	require.Empty(t, WarningsForRules(rule("", "*"), admissionregistrationv1.Fail, at))
	require.Empty(t, WarningsForRules(nil, admissionregistrationv1.Fail, at))
}
