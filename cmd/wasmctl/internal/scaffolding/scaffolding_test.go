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

package scaffolding_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/wasm-admission/wasm-admission/cmd/wasmctl/internal/scaffolding"
	"github.com/wasm-admission/wasm-admission/pkg/abi"
	"github.com/wasm-admission/wasm-admission/pkg/apis/kubewarden"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/assembly"
)

// decoded returns the policy that a server reads from a manifest, which must cause no warnings.
func decoded(t *testing.T, text []byte) *wasmadmission.Policy {
	t.Helper()
	config, err :=
		assembly.Decode(
			[]byte(
				"apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\nstateDirectory: /var/lib/wasm\n"))
	require.NoError(t, err)
	manifests, err := kubewarden.Files{{Path: "policy.yaml", Content: text}}.Decode(config)
	require.NoError(t, err, "%s", text)
	require.Len(t, manifests.Policies, 1)
	return &manifests.Policies[0]
}

func metadata() *abi.Metadata {
	return &abi.Metadata{
		Rules: []abi.Rule{{
			APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"},
			Operations: []string{"CREATE"},
		}},
		Annotations: map[string]string{
			"io.kubewarden.policy.title": "pods", "io.kubewarden.policy.severity": "high",
			"io.kubewarden.policy.author": "nobody",
		},
		BackgroundAudit:       true,
		ContextAwareResources: []abi.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
	}
}

func TestManifest(t *testing.T) {
	policy := scaffolding.Policy{
		Kind:     "ClusterAdmissionPolicy",
		Module:   "registry://example.com/pods:v1",
		Metadata: metadata(),
	}
	text, warnings, err := policy.Manifest()
	require.NoError(t, err)
	require.Equal(t, `apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata:
  annotations:
    io.kubewarden.policy.severity: high
  name: pods
spec:
  module: registry://example.com/pods:v1
  mutating: false
  rules:
  - apiGroups:
    - ""
    apiVersions:
    - v1
    operations:
    - CREATE
    resources:
    - pods
  settings: {}
`, string(text))
	require.Len(t, warnings, 2)
	require.Contains(t, warnings[0], "the `contextAwareResources` attribute has been left empty")
	require.Contains(t, warnings[1], "v1/Namespace")
	require.Equal(t, "registry://example.com/pods:v1", decoded(t, text).Module)

	policy.AllowContextAware, policy.Title, policy.Settings = true, "other", []byte(`{"a":1}`)
	policy.Metadata.BackgroundAudit = false
	text, warnings, err = policy.Manifest()
	require.NoError(t, err)
	require.Contains(t, warnings[0], "has been granted access")
	require.Contains(t, string(text), "backgroundAudit: false\n")
	got := decoded(t, text)
	require.Equal(t, []wasmadmission.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}},
		got.ContextAwareResources)
	require.JSONEq(t, `{"a":1}`, string(got.Settings.Raw))

	policy.Kind = "AdmissionPolicy"
	text, warnings, err = policy.Manifest()
	require.NoError(t, err)
	require.Equal(t, []string{
		"The policy would read the cluster (v1/Namespace), which an AdmissionPolicy cannot: make a ClusterAdmissionPolicy of it.",
	}, warnings[:1])
	require.Contains(t, warnings[1], "metadata.namespace is missing")
	require.NotContains(t, string(text), "contextAware")

	policy.Namespace = "shop"
	text, warnings, err = policy.Manifest()
	require.NoError(t, err)
	require.Len(t, warnings, 1)
	require.Equal(t, "shop", decoded(t, text).Namespace)

	policy.Metadata.Rules = nil
	_, warnings, err = policy.Manifest()
	require.NoError(t, err)
	require.Contains(t, warnings[0], "spec.rules is empty")
}

func TestManifestNeedsAName(t *testing.T) {
	policy := scaffolding.Policy{Kind: "ClusterAdmissionPolicy", Metadata: &abi.Metadata{}}
	_, _, err := policy.Manifest()
	require.EqualError(t, err,
		"the module's metadata has no annotation io.kubewarden.policy.title: name the policy with --title")
	for _, title := range []string{"Pod Privileged", "a_b", "-a", strings.Repeat("a", 254)} {
		policy.Title = title
		_, _, err = policy.Manifest()
		require.ErrorContains(t, err, "Invalid title '"+title+"'. Must conform to RFC 1123")
	}
}

const vap = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas}
spec:
  failurePolicy: Ignore
  matchConstraints:
    matchPolicy: Exact
    namespaceSelector: {matchLabels: {team: shop}}
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments], scope: Namespaced}
  matchConditions:
  - {name: people, expression: "!request.userInfo.username.startsWith('system:')"}
  variables:
  - {name: replicas, expression: object.spec.replicas}
  validations:
  - {expression: variables.replicas <= 5, messageExpression: "'not ' + string(variables.replicas)", reason: Forbidden}
`

const binding = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: replicas-in-production
  labels: {a: b}
  annotations: {c: d, kubectl.kubernetes.io/last-applied-configuration: '{}'}
  uid: 705ab4f5-6393-11e8-b7cc-42010a800002
spec:
  policyName: replicas
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {env: production}}
    objectSelector: {matchExpressions: [{key: canary, operator: DoesNotExist}]}
`

func convert(policy, binding string) ([]byte, []string, error) {
	c, err := scaffolding.ReadCELPolicy([]byte(policy), []byte(binding))
	if err != nil {
		return nil, nil, err
	}
	return c.Manifest("ghcr.io/kubewarden/policies/cel-policy:v1.5.0")
}

func TestCELPolicy(t *testing.T) {
	both := "# both\n" + vap + "---\n" + binding
	text, warnings, err := convert(both, both)
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Equal(t, `apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata:
  annotations:
    c: d
  labels:
    a: b
  name: replicas-in-production
spec:
  failurePolicy: Ignore
  matchConditions:
  - expression: '!request.userInfo.username.startsWith(''system:'')'
    name: people
  matchPolicy: Exact
  module: ghcr.io/kubewarden/policies/cel-policy:v1.5.0
  mutating: false
  namespaceSelector:
    matchLabels:
      env: production
      team: shop
  objectSelector:
    matchExpressions:
    - key: canary
      operator: DoesNotExist
  rules:
  - apiGroups:
    - apps
    apiVersions:
    - v1
    operations:
    - CREATE
    - UPDATE
    resources:
    - deployments
    scope: Namespaced
  settings:
    failurePolicy: Ignore
    validations:
    - expression: variables.replicas <= 5
      messageExpression: '''not '' + string(variables.replicas)'
      reason: Forbidden
    variables:
    - expression: object.spec.replicas
      name: replicas
`, string(text))
	require.Equal(t, wasmadmission.ModeProtect, decoded(t, text).Mode)
}

// replaced returns a policy and its binding with some texts replaced.
func replaced(pairs ...string) (string, string) {
	r := strings.NewReplacer(pairs...)
	return r.Replace(vap), r.Replace(binding)
}

func TestCELPolicyWarns(t *testing.T) {
	for name, test := range map[string]struct {
		replace []string
		warning string
		has     string
	}{
		"params": {
			[]string{
				"  failurePolicy",
				"  paramKind: {apiVersion: v1, kind: ConfigMap}\n  failurePolicy",
				"  validationActions",
				"  paramRef: {name: limits, namespace: default}\n  validationActions",
			},
			"granting access to v1/ConfigMap via spec.contextAwareResources (required by paramKind)",
			`"parameterNotFoundAction":"Deny"`,
		},
		"namespaceObject": {[]string{
			"replicas <= 5", "replicas <= size(namespaceObject.metadata.labels)",
		}, "granting access to v1/Namespace",
			`"contextAwareResources":[{"apiVersion":"v1","kind":"Namespace"}]`},
		"kw.k8s": {[]string{
			"replicas <= 5", "replicas <= size(kw.k8s.apiVersion('v1').kind('Pod').list().items)",
		}, "this policy calls kw.k8s.*", "kw.k8s"},
		"audit": {[]string{"[Deny]", "[Audit, Warn]"},
			"spec.validationActions: nothing is denied, so the policy is in mode monitor, which only logs: Audit, Warn is left out",
			`"mode":"monitor"`},
		"deny and audit": {[]string{"[Deny]", "[Deny, Audit]"},
			"denies and does nothing else: Audit is left out", `"rules"`},
		"annotations": {[]string{
			"  variables:\n",
			"  auditAnnotations: [{key: k, valueExpression: \"'v'\"}]\n  variables:\n",
		}, "spec.auditAnnotations: auditAnnotations are not supported", `"rules"`},
	} {
		t.Run(name, func(t *testing.T) {
			text, warnings, err := convert(replaced(test.replace...))
			require.NoError(t, err)
			require.Contains(t, strings.Join(warnings, "\n"), test.warning)
			object, err := yaml.YAMLToJSON(text)
			require.NoError(t, err)
			require.Contains(t, string(object), test.has)
			decoded(t, text)
		})
	}
}

// A difference in what the new policy sees or refuses is an error.
func TestCELPolicyRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		replace []string
		err     string
	}{
		"other policy": {[]string{"policyName: replicas", "policyName: other"},
			`its spec.policyName is "other"`},
		"no policy name": {[]string{"metadata: {name: replicas}", "metadata: {}"},
			"the ValidatingAdmissionPolicy has no metadata.name"},
		"no name": {[]string{"  name: replicas-in-production\n", ""},
			"the ValidatingAdmissionPolicyBinding has no metadata.name"},
		"kind without ref": {[]string{
			"  failurePolicy", "  paramKind: {apiVersion: v1, kind: ConfigMap}\n  failurePolicy",
		}, "Both paramKind and paramRef must be present together"},
		"ref without kind": {[]string{
			"  validationActions", "  paramRef: {name: a}\n  validationActions",
		}, "Both paramKind and paramRef must be present together"},
		"excluded": {[]string{
			"    matchPolicy", "    excludeResourceRules: [{resources: [a]}]\n    matchPolicy",
		}, "spec.matchConstraints.excludeResourceRules"},
		"excluded in binding": {[]string{
			"  matchResources:", "  matchResources:\n    excludeResourceRules: [{resources: [a]}]",
		}, "spec.matchResources.excludeResourceRules"},
		"rules in binding": {[]string{
			"  matchResources:", "  matchResources:\n    resourceRules: [{resources: [a]}]",
		}, "spec.matchResources.resourceRules"},
		"other match policy": {[]string{
			"  matchResources:", "  matchResources:\n    matchPolicy: Equivalent",
		},
			"spec.matchResources.matchPolicy is Equivalent, and the ValidatingAdmissionPolicy's is Exact"},
		"names": {[]string{"scope: Namespaced", "resourceNames: [a]"},
			"spec.matchConstraints.resourceRules[0].resourceNames"},
		"no rules": {[]string{
			"    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments], scope: Namespaced}",
			"",
		}, "no spec.matchConstraints.resourceRules"},
		"labels": {[]string{"env: production", "team: mill"},
			`namespaceSelector: the ValidatingAdmissionPolicy wants the label team to be "shop", and the ValidatingAdmissionPolicyBinding "mill"`},
		"params in a condition": {[]string{"!request", "params.on && !request"},
			"spec.matchConditions[0].expression: it reads params"},
		"authorizer": {[]string{
			"replicas <= 5", "replicas <= 5 || authorizer.path('/').check('get').allowed()",
		}, "spec.validations[0].expression: it asks the authorizer"},
		"no validations": {[]string{"  - {expression: variables", "  #"},
			"no spec.validations"},
		"unknown field": {[]string{"failurePolicy", "failure"}, `unknown field "failure"`},
		"unknown version": {[]string{"k8s.io/v1", "k8s.io/v2"},
			`--policy: apiVersion: a ValidatingAdmissionPolicy of "admissionregistration.k8s.io/v2" is not known`},
		"no YAML": {[]string{"kind: ", "kind: ["}, "--policy: "},
	} {
		t.Run(name, func(t *testing.T) {
			text, _, err := convert(replaced(test.replace...))
			require.ErrorContains(t, err, test.err)
			require.Nil(t, text)
		})
	}
	_, _, err := convert(binding, vap)
	require.EqualError(t, err, "--policy: there is no ValidatingAdmissionPolicy in the file")
	_, _, err = convert(vap+"---\n"+vap, binding)
	require.EqualError(t, err,
		"--policy: there are several ValidatingAdmissionPolicy: leave one in the file")
}
