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
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission"
	"github.com/wasm-admission/wasm-admission/pkg/apis/wasmadmission/load"
)

const head = "apiVersion: wasm.admission.config.k8s.io/v1alpha1\nkind: WasmAdmissionConfiguration\n"

// full sets every field that this version accepts.
const full = head + `
policies:
- name: no-privileged-pods
  module: file:///etc/kubernetes/wasm-admission/pod-privileged.wasm
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  verification:
    required: true
    config: {apiVersion: v1, anyOf: {signatures: [{kind: githubAction, owner: kubewarden, repo: policy}]}}
  settings:
    allowed: [{image: "registry.example/*"}, {image: "b"}]
    nested: {image: {image: 1}}
  rules:
  - operations: [CREATE, UPDATE]
    apiGroups: ["", apps]
    apiVersions: [v1]
    resources: [pods, pods/ephemeralcontainers, "deployments/*", "*/scale"]
    scope: Namespaced
  - operations: ["*"]
    apiGroups: ["*"]
    apiVersions: ["*"]
    resources: ["*", pods/exec]
    scope: "*"
  failurePolicy: Ignore
  matchPolicy: Exact
  namespaceSelector:
    matchLabels: {team: a}
  objectSelector:
    matchExpressions:
    - {key: skip, operator: DoesNotExist}
  matchConditions:
  - name: not-a-node
    expression: '!("system:nodes" in request.userInfo.groups)'
  - name: example.com/has-labels
    expression: |-
      object != null &&
      has(object.metadata.labels)
  - name: authorised
    expression: authorizer.group('').resource('pods').check('create').allowed()
  timeoutEvalSeconds: 30
  message: privileged pods are not allowed
  mode: monitor
  mutating: true
  reinvocationPolicy: Never
  contextAwareResources: [{apiVersion: v1, kind: Secret}, {apiVersion: apps/v1, kind: Deployment}]
  hostCapabilities: ["kubernetes/*", oci/v1/verify]
  policyServer: default
  sideEffects: None
  timeoutSeconds: 1
  backgroundAudit: true
  allowInsideAdmissionControllerNamespace: false
- name: rules.from.metadata
  module: file:///policy.wasm
- name: tag
  module: registry://ghcr.io/kubewarden/policies/pod-privileged:v1.0.3
- name: digest
  module: registry://localhost:5000/a/b_c.d-e:v1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
- name: latest
  module: registry://[::1]:5000/a
- name: server
  module: https://example.com:8443/policies/a%20b.wasm
- name: plain
  module: http://insecure.example.com/a.wasm
- name: plain-port
  module: http://10.0.0.1:8080/a.wasm
policyGroups:
- name: signed-or-trusted
  expression: (signed() || trusted()) && !broken() == true
  message: the image is neither signed nor from a trusted registry
  policies:
    signed:
      module: file:///signed.wasm
      digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
      verification: {required: false}
      settings: {keys: [a]}
      timeoutEvalSeconds: 30
      contextAwareResources: [{apiVersion: v1, kind: Namespace}]
      hostCapabilities: ["*"]
    trusted: {module: file:///trusted.wasm}
    broken: {module: file:///broken.wasm}
  rules:
  - operations: [CREATE]
    apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
  failurePolicy: Ignore
  matchPolicy: Exact
  namespaceSelector: {matchLabels: {team: a}}
  objectSelector: {matchLabels: {team: a}}
  matchConditions: [{name: a, expression: "true"}]
  mode: monitor
  policyServer: default
  sideEffects: None
  timeoutSeconds: 30
  backgroundAudit: true
  allowInsideAdmissionControllerNamespace: true
policyDirectory: /etc/kubernetes/wasm-admission/policies.d
stateDirectory: /var/lib/kubernetes/wasm-admission
breakGlassFile: /etc/kubernetes/wasm-admission/break-glass.yaml
sources:
  insecure: [insecure.example.com, "10.0.0.1:8080", "[::1]:5000", "[fe80::1]"]
  authorities:
  - {host: "registry.example.com:5000", files: [/etc/ssl/a.pem, /etc/ssl/b.pem]}
  - {host: registry.example.com, files: [/etc/ssl/a.pem]}
  mirrors:
  - {prefix: registry://ghcr.io/, replacement: registry://mirror.example.com/ghcr/}
  - {prefix: registry://ghcr.io/kubewarden/, replacement: "registry://mirror.example.com:5000/"}
  - {prefix: https://example.com, replacement: https://mirror.example.com/example}
  dockerConfig: /etc/kubernetes/wasm-admission/docker.json
  layout: /var/lib/kubernetes/policies.tar
  timeout: 10m
verification:
  required: false
  file: /etc/kubernetes/wasm-admission/verification.yml
  trustRoot: {file: /etc/kubernetes/wasm-admission/trusted_root.json}
reload: {interval: 24h, loadTimeout: 1h, keepLastGood: true}
circuitBreaker: {failures: 1000000, probeInterval: 1h}
compilation: {mode: InProcess, memory: 64Gi, workers: 1024, timeout: 1h}
mutation: {unknownFields: Warn}
review: {omit: [managedFields]}
limits:
  moduleSize: 1Gi
  memory: 4Gi
  requestSize: 64Mi
  responseSize: 64Mi
  hostCallPayloadSize: 64Mi
  logLineSize: 64Ki
  hostCalls: 100000
  guestLogLinesPerSecond: 10000
  evaluationTimeout: 30s
  requestTimeout: 30s
  fuel: 1000000000000
  stack: 512Mi
  tableEntries: 16777216
  compilationTime: 1h
  compilationMemory: 64Gi
  totalMemory: 1Ti
  moduleEvaluations: 10000
  moduleWaiters: 100000
  policyEvaluations: 100000
exemptions:
  usernames: [system:apiserver, admin]
  groups: [system:nodes]
  namespaces: [kube-system, kube-public]
capabilities:
  kubernetes:
    user: policies
    groups: [system:authenticated]
    secretReaders: [no-privileged-pods, signed-or-trusted/signed]
    memorySize: 64Gi
    idleTimeout: 24h
    getResource: {cacheEntries: 100000, cacheSize: 1Gi, cacheTTL: 1m}
    canI: {cacheEntries: 1, cacheSize: 64Ki, cacheTTL: 1s}
  dns: {cacheEntries: 100000, cacheTTL: 1m}
  oci:
    registries: ["*", "*.example.com:5000", ghcr.io, "127.0.0.1:5000", "[::1]:5000"]
    redirects: [auth.docker.io, "*.cloudfront.net"]
    deniedRanges: [203.0.113.0/24, "2001:db8::/48", 192.0.2.1/32]
    cacheEntries: 1
    cacheSize: 64Ki
    cacheTTL: 1s
    failureTTL: 1s
    staleTTL: 24h
    lookTimeout: 1m
    policyLooks: 1000
    registryLooks: 1
`

func parse(t *testing.T, config string) *wasmadmission.WasmAdmissionConfiguration {
	t.Helper()
	decoded, err := load.LoadFromData([]byte(config))
	require.NoError(t, err)
	return decoded
}

func lines(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func TestValidConfigurations(t *testing.T) {
	for name, config := range map[string]string{
		"full":    full,
		"minimal": head + "policies: [{name: a, module: file:///a.wasm}]",
		"none":    head,
		"least": head +
			"limits: {moduleSize: 1, memory: 64Ki, requestSize: 1, responseSize: 1, hostCallPayloadSize: 1, " +
			"logLineSize: 1, hostCalls: 1, guestLogLinesPerSecond: 1, evaluationTimeout: 1ms, requestTimeout: 1ms, fuel: 1000000, stack: 64Ki, tableEntries: 1, compilationTime: 1s, compilationMemory: 64Mi, " +
			"totalMemory: 64Ki, moduleEvaluations: 0, moduleWaiters: 1, policyEvaluations: 1}\n" +
			"sources: {timeout: 1s}\nreload: {interval: 1s, loadTimeout: 1s}\ncircuitBreaker: {failures: 0, probeInterval: 100ms}\n" +
			"compilation: {mode: ChildProcesses, memory: 128Mi, workers: 0, timeout: 1s}",
		"64 members": group("g", "policies", "{one: {module: file:///a.wasm}"+
			strings.Repeat(", m%d: {module: file:///a.wasm}", 63)+"}"),
		"64 conditions": policy("matchConditions: [" +
			strings.Repeat(`{name: c%d, expression: "true"},`, 64) + "]"),
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, lines(ValidateConfiguration(parse(t, numbered(config)))))
		})
	}
}

// numbered replaces each %d by a different number.
func numbered(config string) string {
	for i := range strings.Count(config, "%d") {
		config = strings.Replace(config, "%d", strconv.Itoa(i), 1)
	}
	return config
}

// policy returns a configuration of one policy that is valid except for the added fields.
func policy(fields string) string {
	return head + "policies:\n- name: a\n  module: file:///a.wasm\n  " +
		strings.ReplaceAll(fields, "\n", "\n  ") + "\n"
}

// rule returns a configuration of one policy with one rule. The fields replace those of the same
// name in a valid rule.
func rule(name, value string) string {
	fields := map[string]string{
		"operations":  "[CREATE]",
		"apiGroups":   `[""]`,
		"apiVersions": "[v1]",
		"resources":   "[pods]",
	}
	fields[name] = value
	var all []string
	for name, value := range fields {
		all = append(all, name+": "+value)
	}
	return policy("rules: [{" + strings.Join(all, ", ") + "}]")
}

func module(uri string) string {
	return head + fmt.Sprintf("policies: [{name: a, module: %q}]", uri)
}

// verified returns a configuration that demands a signature of an identity and has one more field
// of verification.
func verified(field string) string {
	return head +
		"verification:\n  config: {apiVersion: v1, allOf: [{kind: githubAction, owner: kubewarden}]}\n  " +
		field + "\n"
}

// remote returns a configuration of one policy that allows fetching its module.
func remote(uri string) string {
	return module(uri) +
		"\nstateDirectory: /var/lib/wasm\nsources: {insecure: [insecure.example.com]}\n"
}

// group returns a configuration of one group with one member, valid except for one field.
func group(name, field, value string) string {
	fields := map[string]string{
		"name":       name,
		"expression": "one()",
		"message":    "rejected",
		"policies":   "{one: {module: file:///a.wasm}}",
		"rules":      "[{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]",
	}
	fields[field] = value
	config := head + "policyGroups:\n-"
	for field, value := range fields {
		config += " " + field + ": " + value + "\n "
	}
	return config
}

// groups returns a configuration of groups with these names.
func groups(names ...string) string {
	config := head + "policyGroups:\n"
	for _, name := range names {
		config += strings.TrimPrefix(strings.TrimRight(group(name, "name", name), " "),
			head+"policyGroups:\n")
	}
	return config
}

// member returns a configuration of one group whose only member has these fields.
func member(fields string) string {
	return group("g", "policies", "{one: {"+fields+"}}")
}

// All problems are reported at once, in the order of the file.
func TestAllProblemsAtOnce(t *testing.T) {
	config := parse(t, head+`
policies:
- name: Bad
  module: policy.wasm
  digest: md5:0
- module: file:///b.wasm
  settings: []
  rules:
  - operations: [PATCH]
    resources: [""]
- name: c
  module: file:///c.wasm
  contextAwareResources: [{apiVersion: v1}]
  mode: audit
policyGroups:
- expression: a() && b()
  policies: {a: {module: "registry://example.com/a"}}
policyDirectory: policies
stateDirectory: state
limits: {memory: 1, hostCalls: 0}
exemptions: {namespaces: [A], groups: [""]}
`)
	require.Equal(t, []string{
		`policies[Bad].name: Invalid value: "Bad": is not a DNS subdomain: write at most 253 lower-case letters, digits, '-' and '.', with a letter or digit at both ends and around each '.'`,
		`policies[Bad].module: Invalid value: "policy.wasm": has no scheme: write file:// and an absolute path, registry:// and a reference, https://, or oci-layout://`,
		`policies[Bad].digest: Invalid value: "md5:0": must be "sha256:" and 64 lower-case hexadecimal digits: write those that sha256sum prints for the module`,
		`policies[1].name: Required value: a policy needs a name for messages and metrics: write one, such as no-privileged-pods`,
		`policies[1].settings: Invalid value: "[]": must be an object: write fields with values below settings, or {} for none`,
		`policies[1].rules[0].operations[0]: Unsupported value: "PATCH": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"`,
		`policies[1].rules[0].apiGroups: Required value: write at least one API group, "" for the core group or "*" for all`,
		`policies[1].rules[0].apiVersions: Required value: write at least one API version, such as v1, or "*" for all`,
		`policies[1].rules[0].resources[0]: Required value: a resource cannot be empty: write one, such as pods`,
		`policies[c].contextAwareResources[0].kind: Required value: write the kind, such as Deployment`,
		`policies[c].mode: Unsupported value: "audit": supported values: "protect", "monitor"`,
		`policyGroups[0].name: Required value: a policy needs a name for messages and metrics: write one, such as no-privileged-pods`,
		`policyGroups[0].expression: Invalid value: "a() && b()": line 1, column 9: b is not a member of the group: correct its name or add it to policies`,
		`policyGroups[0].message: Required value: a group needs a message for those whose requests it rejects: write one`,
		`policyGroups[0].rules: Required value: a group needs rules of its own, as its modules may have different ones: write at least one rule`,
		`policyDirectory: Invalid value: "policies": is a relative path: write the absolute path of a directory`,
		`stateDirectory: Invalid value: "state": is a relative path: write the absolute path of a directory`,
		`limits.memory: Invalid value: 1: must be between 64Ki and 4Gi, in bytes`,
		`limits.hostCalls: Invalid value: 0: must be between 1 and 100000`,
		`exemptions.groups[0]: Required value: a name cannot be empty: write one or remove the entry`,
		`exemptions.namespaces[0]: Invalid value: "A": is not the name of a namespace: write at most 63 lower-case letters, digits and '-', with a letter or digit at both ends`,
	}, lines(ValidateConfiguration(config)))
}

// The same function checks the rules of a module's metadata, under another path.
func TestValidateRules(t *testing.T) {
	require.Empty(t, ValidateRules(nil, field.NewPath("metadata", "rules")))
	rules :=
		[]admissionregistrationv1.RuleWithOperations{{Operations: []admissionregistrationv1.OperationType{"CREATE"}}}
	require.Equal(t, []string{
		`metadata.rules[0].apiGroups: Required value: write at least one API group, "" for the core group or "*" for all`,
		`metadata.rules[0].apiVersions: Required value: write at least one API version, such as v1, or "*" for all`,
		`metadata.rules[0].resources: Required value: write at least one resource, such as pods, or "*" for all`,
	}, lines(ValidateRules(rules, field.NewPath("metadata", "rules"))))
}

func TestValidateContextAwareResources(t *testing.T) {
	at := field.NewPath("contextAwareResources")
	require.Empty(t,
		validateContextAwareResources(
			[]wasmadmission.ContextAwareResource{{APIVersion: "v1", Kind: "Namespace"}}, at))
	require.Equal(t, []string{
		`contextAwareResources[0].kind: Required value: write the kind, such as Deployment`,
		`contextAwareResources[1].apiVersion: Required value: write the group and version of the kind, such as apps/v1`,
	},
		lines(validateContextAwareResources([]wasmadmission.ContextAwareResource{{APIVersion: "v1"},
			{Kind: "Pod"}}, at)))
}

// An embedder may build a configuration in code and leave out defaults.
func TestValidateWithoutDefaults(t *testing.T) {
	config := parse(t, head)
	config.Policies = []wasmadmission.Policy{{Name: "a", Module: "file:///a.wasm"}}
	require.Equal(t, []string{
		`policies[a].settings: Invalid value: "": must be an object: write fields with values below settings, or {} for none`,
		`policies[a].failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"`,
		`policies[a].matchPolicy: Unsupported value: "": supported values: "Equivalent", "Exact"`,
		`policies[a].mode: Unsupported value: "": supported values: "protect", "monitor"`,
		`policies[a].reinvocationPolicy: Unsupported value: "": supported values: "IfNeeded", "Never"`,
	}, lines(ValidateConfiguration(config)))

	// In that form, the members are a list, in which a name may occur twice.
	config = parse(t, group("g", "message", "rejected"))
	config.PolicyGroups[0].Policies = append(config.PolicyGroups[0].Policies,
		config.PolicyGroups[0].Policies...)
	require.Equal(t, []string{
		`policyGroups[g].policies[one]: Duplicate value: "one": is the name of an earlier member: give each member its own`,
	}, lines(ValidateConfiguration(config)))
}
